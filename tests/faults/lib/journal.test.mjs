/* The journal finds every kind of broken promise, and none where there is none. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Journal } from './journal.mjs';

function reader(journal = new Journal(), { name = 'r', epoch = 'e', offset = 0 } = {}) {
  const track = journal.track(name, 'room');
  track.subscribed({ epoch, offset, recovered: false });
  return { journal, track };
}

function one(faults, regex) {
  assert.equal(faults.length, 1, JSON.stringify(faults));
  assert.match(faults[0], regex);
}

test('a contiguous run, a recovery and an honest "not recovered" are no faults', () => {
  const { journal, track } = reader();
  const other = reader(journal, { name: 'late', offset: 3 });
  for (const offset of [1, 2, 3])
    track.publication(offset, `p${offset}`);
  track.subscribed({ epoch: 'e', offset: 5, recovered: true });
  for (const offset of [4, 5]) {
    track.publication(offset, `p${offset}`);
    other.track.publication(offset, `p${offset}`);
  }
  track.subscribed({ epoch: 'f', offset: 2, recovered: false });
  track.publication(3, 'f3');
  other.track.subscribed({ epoch: 'f', offset: 3, recovered: false });
  for (const offset of [1, 2, 3, 4, 5, 6])
    journal.acknowledged('room', { epoch: 'e', offset }, `p${offset}`);
  journal.acknowledged('room', { epoch: 'between', offset: 1 }, 'an epoch that nobody saw');
  journal.acknowledged('room', { epoch: 'f', offset: 1 }, 'f1');
  journal.acknowledged('room', { epoch: 'f', offset: 3 }, 'f3');
  const tops = { room: { epoch: 'f', offset: 3 } };
  assert.ok(journal.isAt(tops));
  assert.deepEqual(journal.faults(tops), []);
  assert.deepEqual([journal.toldCount, journal.recoveryCount, journal.acknowledgedCount], [2, 1, 9]);
});

test('a hole', () => {
  const { journal, track } = reader();
  track.publication(1, 'a');
  track.publication(3, 'c');
  one(journal.faults(), /silent hole: e:3 came after 1/);
  journal.acknowledged('room', { epoch: 'e', offset: 2 }, 'b');
  assert.equal(journal.faults().length, 2);
});

test('an offset twice, and one that goes back', () => {
  const { journal, track } = reader();
  track.publication(1, 'a');
  track.publication(1, 'a');
  one(journal.faults(), /e:1 came after 1: twice/);
  const back = reader();
  back.track.publication(1, 'a');
  back.track.publication(2, 'b');
  back.track.publication(1, 'a');
  one(back.journal.faults(), /e:1 came after 2/);
});

test('another payload at the same place: between readers, and for its publisher', () => {
  const { journal, track } = reader();
  const other = reader(journal, { name: 'other' });
  track.publication(1, 'a');
  other.track.publication(1, 'b');
  one(journal.faults(), /e:1 is "a" for r and "b" for other/);
  const alone = reader();
  alone.track.publication(1, 'a');
  alone.journal.acknowledged('room', { epoch: 'e', offset: 1 }, 'x');
  one(alone.journal.faults(), /"a" for r and "x" for its publisher/);
});

test('what was acknowledged and never came', () => {
  const { journal, track } = reader();
  track.publication(1, 'a');
  journal.acknowledged('room', { epoch: 'e', offset: 2 }, 'b');
  one(journal.faults(), /never got e:2 "b"/);
  track.subscribed({ epoch: 'e', offset: 5, recovered: false });
  assert.deepEqual(journal.faults(), [], 'now it was told');
  journal.acknowledged('room', { epoch: 'e', offset: 6 }, 'c');
  one(journal.faults(), /never got e:6/);
  journal.acknowledged('room', { epoch: 'unheard of', offset: 1 }, 'd');
  assert.equal(journal.faults().length, 2, 'within one epoch it was told of no other');
});

test('a recovery into another epoch: all of the old one that was received is in the new one', () => {
  const { journal, track } = reader();
  for (const [n, text] of ['a', 'b', 'c'].entries())
    track.publication(n + 1, text);
  track.subscribed({ epoch: 'f', offset: 4, recovered: true });
  track.publication(4, 'd');
  for (const [n, text] of ['a', 'b', 'c', 'd'].entries())
    journal.acknowledged('room', { epoch: 'f', offset: n + 1 }, text);
  assert.deepEqual(journal.faults({ room: { epoch: 'f', offset: 4 } }), []);
  const wrong = reader();
  wrong.track.publication(1, 'a');
  wrong.track.publication(2, 'b');
  wrong.track.subscribed({ epoch: 'f', offset: 2, recovered: true });
  wrong.journal.kept('room', 'f', [{ offset: 1, data: 'a' }, { offset: 2, data: 'x' }]);
  one(wrong.journal.faults(), /went on from e:2 into f, but 2 is "b" in the one and "x" in the other/);
  const late = reader(new Journal(), { offset: 5 });
  late.track.subscribed({ epoch: 'f', offset: 6, recovered: true });
  late.track.publication(6, 'g');
  late.journal.acknowledged('room', { epoch: 'f', offset: 3 }, 'before it came');
  assert.deepEqual(late.journal.faults(), []);
  late.journal.acknowledged('room', { epoch: 'f', offset: 7 }, 'never came');
  one(late.journal.faults(), /never got f:7/);
});

test('what the old epoch ended with, and only the new one gave: the same text at the same offset', () => {
  const { journal, track } = reader();
  track.publication(1, 'a');
  track.subscribed({ epoch: 'f', offset: 3, recovered: true });
  track.publication(2, 'b');
  track.publication(3, 'c');
  journal.acknowledged('room', { epoch: 'e', offset: 2 }, 'b');
  assert.deepEqual(journal.faults(), []);
  journal.acknowledged('room', { epoch: 'e', offset: 3 }, 'x');
  one(journal.faults(), /never got e:3 "x"/);
  journal.acknowledged('room', { epoch: 'e', offset: 4 }, 'd');
  assert.equal(journal.faults().length, 2);
  const other = reader(new Journal());
  other.track.subscribed({ epoch: 'g', offset: 0, recovered: true });
  other.track.publication(1, 'a');
  other.journal.acknowledged('room', { epoch: 'f', offset: 1 }, 'a');
  one(other.journal.faults(), /never got f:1/);
});

test('a top that goes back in the same epoch: only if the reader is told, and no offset is given again', () => {
  const { journal, track } = reader(new Journal(), { offset: 9 });
  track.subscribed({ epoch: 'e', offset: 4, recovered: true });
  one(journal.faults(), /recovered from e:9 back to e:4/);
  const told = reader();
  for (const n of [1, 2, 3])
    told.track.publication(n, `p${n}`);
  told.track.subscribed({ epoch: 'e', offset: 1, recovered: false });
  told.journal.acknowledged('room', { epoch: 'e', offset: 4 }, 'went with the end');
  assert.deepEqual(told.journal.faults(), []);
  told.track.publication(2, 'another');
  one(told.journal.faults(), /e:2 is "p2" for r and "another" for r/);
});

test('a tail that is missing in silence', () => {
  const { journal, track } = reader();
  track.publication(1, 'a');
  const tops = { room: { epoch: 'e', offset: 2 } };
  assert.ok(!journal.isAt(tops));
  one(journal.faults(tops), /is at e:1, the channel at e:2/);
});
