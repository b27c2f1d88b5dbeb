/* The link to the server: one small interface over the SDK on each of its transports, over sse.js, or over
 * fallback.js when there is no SDK.
 *
 *   const link = openLink(kind, { Sdk, ear, onState });       kind: one of transportsOf(Sdk); ear: of tap.js
 *   const room = link.join(channel, handlers);
 *   await room.publish(data);                                 rejects with { code, message }
 *   room.leave();  link.connect();  link.pause();  link.close();
 *   await link.publish(channel, data);                        to any channel, joined or not
 *
 * Handlers: onData(data, client, when), where client is the sender's id if the server knows it;
 * onRefused({ code, message }); onMembers(Set of client ids, or null when nobody can tell), optional;
 * isMine(data), for transports that do not name the channel; those of past.js.
 *
 * onState gets { phase, code, reason, attempt, since, retryAt, transport, client }; phase is connecting,
 * connected, reconnecting or disconnected (for good, until somebody calls connect()). The SDK reconnects,
 * resubscribes, recovers, answers pings and times calls out by itself: nothing of that is repeated here.
 */
import { FallbackLink } from './fallback.js';
import { urlOf } from './http.js';
import { followMembers } from './members.js';
import { Past } from './past.js';
import { SseLink } from './sse.js';

export const socketUrl = urlOf('connection/websocket');
socketUrl.protocol = socketUrl.protocol.replace('http', 'ws');

const ENDPOINTS = {
  websocket: socketUrl.href,
  sse: urlOf('connection/sse').href,
  http_stream: urlOf('connection/http_stream').href,
};

/* What there is to choose from; 'eventsource' is plain Server-Sent Events, without the SDK. */
export const transportsOf = (Sdk) => [...(Sdk ? Object.keys(ENDPOINTS) : ['websocket']), 'eventsource'];

export function openLink(kind, { Sdk, ear, onState }) {
  if (kind === 'eventsource') return new SseLink(ear, onState);
  return Sdk ? new SdkLink(kind, { Sdk, ear, onState }) : new FallbackLink(socketUrl.href, ear, onState);
}

class SdkLink {
  constructor(transport, { Sdk, ear, onState }) {
    this.speaks = `the centrifuge SDK${transport === 'websocket' ? '' : ', and requests to send'}`;
    this.client = new Sdk([{ transport, endpoint: ENDPOINTS[transport] }], {
      name: 'carillon-demo', minReconnectDelay: 400, maxReconnectDelay: 6000, emulationEndpoint: urlOf('emulation').href,
      websocket: ear.WebSocket, eventsource: ear.EventSource, fetch: ear.fetch,
    });
    this.state = { phase: 'connecting', attempt: 1 };
    this.onState = onState;
    const change = (state) => this.onState(this.state = state);

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

  /* Subscriptions stay, and their positions with them. */
  pause() {
    this.client.disconnect();
  }

  close() {
    this.onState = () => {};
    for (const subscription of Object.values(this.client.subscriptions())) this.#drop(subscription);
    this.client.disconnect();
  }

  join(channel, handlers) {
    const { onRefused, onMembers } = handlers;
    const subscription = this.client.newSubscription(channel, { joinLeave: Boolean(onMembers) });
    const past = subscription.past = new Past((limit) => subscription.history({ limit, reverse: true }), handlers);
    subscription.on('publication', (publication) => past.publication(publication));
    subscription.on('subscribed', ({ streamPosition, recovered }) => past.subscribed(streamPosition, recovered));
    subscription.on('unsubscribed', ({ code, reason }) => onRefused({ code, message: reason }));
    if (onMembers) subscription.members = followMembers(subscription, onMembers);
    subscription.subscribe();
    return {
      publish: (data) => subscription.publish(data),
      leave: () => this.#drop(subscription),
    };
  }

  publish(channel, data) {
    return this.client.publish(channel, data);
  }

  #drop(subscription) {
    subscription.members?.stop();
    subscription.past.stop();
    subscription.removeAllListeners();
    subscription.unsubscribe();
    this.client.removeSubscription(subscription);
  }
}
