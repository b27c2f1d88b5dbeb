/* The link to the server: one small interface over the SDK, or over fallback.js when there is no SDK.
 *
 *   const link = openLink(Sdk, onState);
 *   const room = link.join(channel, { onData, onRefused });   onData(data), onRefused({ code, message })
 *   await room.publish(data);                                 rejects with { code, message }
 *   room.leave();  link.connect();
 *
 * onState gets { phase, code, reason, attempt, since, retryAt, transport, client }; phase is connecting,
 * connected, reconnecting or disconnected (for good, until somebody calls connect()). The SDK reconnects,
 * resubscribes, answers pings and times calls out by itself: nothing of that is repeated here.
 */
import { FallbackLink } from './fallback.js';

const here = new URL('.', location.href);
const socketUrl = new URL('connection/websocket', here);
socketUrl.protocol = socketUrl.protocol.replace('http', 'ws');
socketUrl.hash = '';

export function openLink(Sdk, onState) {
  return Sdk ? new SdkLink(Sdk, onState) : new FallbackLink(socketUrl.href, new URL('api/', here).href, onState);
}

class SdkLink {
  speaks = 'the centrifuge SDK';

  constructor(Sdk, onState) {
    this.client = new Sdk(socketUrl.href, { name: 'carillon-demo', minReconnectDelay: 400, maxReconnectDelay: 6000 });
    this.state = { phase: 'connecting', attempt: 1 };
    const change = (state) => onState(this.state = state);

    this.client.on('connecting', ({ code, reason }) => {
      /* Code 0 means that connect() was called: the first time, or again after a final disconnect. */
      change({ phase: code ? 'reconnecting' : 'connecting', code, reason, attempt: 1, since: Date.now() });
    });
    this.client.on('error', ({ type }) => {
      if (type !== 'transport' || this.state.phase === 'connected') return;
      change({ ...this.state, attempt: this.state.attempt + 1 });
    });
    this.client.on('connected', ({ transport, client }) => change({ phase: 'connected', transport, client }));
    this.client.on('disconnected', ({ code, reason }) => change({ phase: 'disconnected', code, reason }));
  }

  connect() {
    this.client.connect();
  }

  join(channel, { onData, onRefused }) {
    const subscription = this.client.newSubscription(channel);
    let hasLeft = false;
    subscription.on('publication', ({ data }) => onData(data));
    subscription.on('unsubscribed', ({ code, reason }) => hasLeft || onRefused({ code, message: reason }));
    subscription.subscribe();
    return {
      publish: (data) => subscription.publish(data),
      leave: () => {
        hasLeft = true;
        subscription.unsubscribe();
        this.client.removeSubscription(subscription);
      },
    };
  }
}
