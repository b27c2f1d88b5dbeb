/* Who is in a channel: the server's presence once, then every join and leave.
 *
 *   const follow = followMembers(subscription, onMembers);   onMembers(Set of client ids, or null)
 *   follow.stop();
 *
 * The set is exact: joins and leaves that arrive while the answer is on its way are kept and applied to
 * it. It is asked for again after every (re)subscribe, and now and then, in case a node or Redis was away.
 * null: the server does not tell.
 */
const ASK_AGAIN_MS = 20000;

export function followMembers(subscription, onMembers) {
  let members = new Set();
  let missed = null; /* while we wait for an answer */

  const apply = ([client, isHere]) => (isHere ? members.add(client) : members.delete(client));
  const note = (client, isHere) => {
    missed?.push([client, isHere]);
    apply([client, isHere]);
    onMembers(members);
  };
  const ask = async () => {
    if (missed || subscription.state !== 'subscribed') return;
    missed = [];
    try {
      const { clients } = await subscription.presence();
      members = new Set(Object.keys(clients));
      missed.forEach(apply);
      onMembers(members);
    } catch ({ code }) {
      if (code === 103 || code === 108) onMembers(null); /* not allowed, or not kept */
    } finally {
      missed = null;
    }
  };
  subscription.on('subscribed', ask);
  subscription.on('join', ({ info }) => note(info.client, true));
  subscription.on('leave', ({ info }) => note(info.client, false));
  const timer = setInterval(ask, ASK_AGAIN_MS);
  return { stop: () => clearInterval(timer) };
}
