"""From a publisher on node A over Redis to a subscriber on node B, against less: alternating rounds.

The same load goes to one node with the memory engine, to one node with the Redis engine, and to two
nodes on that Redis, without history and with it, right after each other, in an order that turns
around each round. Publisher and
subscriber are one process, so both ends of a latency are one clock. README.md says what the numbers
mean.
"""

import os
import re
import shutil
import socket
import statistics

from common import (Failed, Server, load, output_of, print_machine, print_table, print_targets,
                    progress, stop_all, summaries, targets, warnings_of)

MEMORY, SINGLE, PAIR, KEPT = "1 node, memory", "1 node, Redis", "2 nodes, Redis", "2 nodes, history"
VARIANTS = [MEMORY, SINGLE, PAIR, KEPT]
LIMIT_MS, KEPT_LIMIT_MS = 5, 10
RATE, LADDER = 5000, [1000, 10000, 20000, 40000, 80000, 120000]
LADDER_CONNECTIONS = 10

FULL = {"rounds": 6, "ladder_rounds": 3, "warmup": 0.2, "seconds": 1.0, "ladder_seconds": 0.6,
        "ladder": LADDER}
QUICK = {"rounds": 3, "ladder_rounds": 1, "warmup": 0.1, "seconds": 0.5, "ladder_seconds": 0.4,
         "ladder": LADDER}

# One client publishes all, which no default limit may hinder.
CONFIG = {"http_server": {"address": "127.0.0.1", "port": 0},
          "client": {"insecure": True, "command_rate_limit": 0, "bytes_rate_limit": 0},
          "channel": {"namespaces": [{"name": "kept", "history_size": 100, "history_ttl": "60s",
                                      "force_recovery": True}]}}


def case_name(rate, connections):
    return f"{rate:,} messages/s through {connections} connection{'s' if connections > 1 else ''}"


CASES = [(RATE, 1), (RATE, LADDER_CONNECTIONS)]
LATENCY = "latency_p99_us"
# (name in the table, key, divide by, digits); all_ and busy_ are made in derive()
ROWS = [
    ("latency p50, ms", "latency_p50_us", 1000, 2),
    ("latency p99, ms", LATENCY, 1000, 2),
    ("latency p99.9, ms", "latency_p999_us", 1000, 2),
    ("latency max, ms", "latency_max_us", 1000, 2),
    ("CPU, us per message: node A", "publish_node_cpu_us_per_message", 1, 1),
    ("    node B", "subscribe_node_cpu_us_per_message", 1, 1),
    ("    redis-server", "broker_cpu_us_per_message", 1, 1),
    ("    all of them", "all_cpu_us_per_message", 1, 1),
    ("    load generator", "client_cpu_us_per_delivery", 1, 1),
    ("processors busy with it, %", "busy_percent", 1, 0),
    ("sent late p99, ms", "lateness_p99_us", 1000, 2),
]
TARGETS = [(f"p99 in us, {variant}", case_name(*case), variant, None, LATENCY, limit_ms * 1000)
           for case in CASES for variant, limit_ms in ((PAIR, LIMIT_MS), (KEPT, KEPT_LIMIT_MS))]

# How a server may say that a rate is too much for it. A lost message is never an answer.
REFUSED = re.compile(r'expected "publish":\{\} and got .*"code":(100|111)\b|server: 3008 ')


def all_cpus():
    return set(sorted(os.sched_getaffinity(0))[:2])


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start_redis(folder):
    """On a free port of the loopback interface; nothing is written to disk."""
    program = shutil.which("redis-server")
    if not program:
        raise Failed("redis-server is not there: ./dev bench installs it")
    for attempts_left in range(4, -1, -1):
        port = free_port()
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "",
                   "--appendonly", "no", "--daemonize", "no", "--dir", folder]
        try:
            redis = Server("redis-server", command, all_cpus(), folder,
                           ready="Ready to accept connections")
        except Failed:  # another process may have taken the port meanwhile
            if not attempts_left:
                raise
            continue
        redis.address = f"127.0.0.1:{port}"
        return redis


def start_node(name, carillon, folder, redis_address=None):
    command = [carillon, "--config", os.path.join(folder, "config.json"), "--workers", "1"]
    if redis_address:
        command += ["--engine.type=redis", f"--engine.redis.address={redis_address}"]
    node = Server(name, command, all_cpus(), folder)
    if redis_address:
        node.wait_ready("redis is there")
    return node


def derive(values):
    """Adds what carillon-bench cannot know: sums over the processes."""
    servers = ("publish_node", "subscribe_node", "broker")
    values["all_cpu_us_per_message"] = sum(
        values.get(f"{s}_cpu_us_per_message", 0) for s in servers)
    values["busy_percent"] = sum(
        values.get(f"{s}_cpu_percent", 0) for s in (*servers, "client")) / len(all_cpus())
    return values


class Setup:
    """The servers of all variants; those that have nothing to do just wait."""

    def __init__(self, options, folder):
        self.servers = []
        try:
            self.redis = self.started(start_redis(folder))
            self.memory = self.started(start_node("node, memory", options.carillon, folder))
            self.a, self.b = (
                self.started(start_node(name, options.carillon, folder, self.redis.address))
                for name in ("node A", "node B"))
        except BaseException:
            self.stop()
            raise

    def started(self, server):
        self.servers.append(server)
        return server

    def stop(self):
        stop_all(self.servers[::-1])  # redis-server last: the nodes say goodbye

    def arguments(self, variant):
        """Where to go, and whose CPU time to take. A node that does both is node A."""
        if variant in (PAIR, KEPT):
            return [*(["--channel", "kept:bench"] if variant == KEPT else []),
                    "--port", str(self.b.port), "--pid", str(self.b.pid),
                    "--publish-port", str(self.a.port), "--publish-pid", str(self.a.pid),
                    "--broker-pid", str(self.redis.pid)]
        node = self.memory if variant == MEMORY else self.a
        out = ["--port", str(node.port), "--publish-pid", str(node.pid)]
        return out if variant == MEMORY else [*out, "--broker-pid", str(self.redis.pid)]


class Bench:
    def __init__(self, options, plan, folder):
        self.options, self.plan, self.folder = options, plan, folder
        self.results = {}  # case -> variant -> list of dicts, one per round
        self.refused = {}  # the same -> list of what carillon-bench said

    def measure(self, setup, variant, case, seconds):
        rate, connections = case
        arguments = [*setup.arguments(variant), "--subscribers", "1",
                     "--publishers", str(connections), "--rate", str(rate),
                     "--warmup", str(self.plan["warmup"]), "--seconds", str(seconds)]
        values = load(self.options.load, arguments, all_cpus(), setup.servers)
        self.results.setdefault(case_name(*case), {}).setdefault(variant, []).append(derive(values))

    def climb(self, setup, variant, rate):
        """As measure(), but a server may refuse."""
        case = (rate, LADDER_CONNECTIONS)
        try:
            self.measure(setup, variant, case, self.plan["ladder_seconds"])
        except Failed as e:
            if not REFUSED.search(str(e)):
                raise
            self.refused.setdefault(case_name(*case), {}).setdefault(variant, []).append(str(e))

    def round(self, order, has_ladder):
        setup = Setup(self.options, self.folder)
        try:
            for case in CASES:
                for variant in order:
                    self.measure(setup, variant, case, self.plan["seconds"])
            for rate in self.plan["ladder"] if has_ladder else []:
                for variant in order:
                    self.climb(setup, variant, rate)
        finally:
            setup.stop()

    def run(self):
        for i in range(self.plan["rounds"]):
            progress(f"nodes: round {i + 1} of {self.plan['rounds']}")
            self.round(VARIANTS[:: 1 if i % 2 == 0 else -1], i < self.plan["ladder_rounds"])
        progress("")

    def report(self, m):
        m["redis"] = (re.search(r"v=(\S+)", output_of(["redis-server", "--version"])) or [0, "?"])[1]
        table, judged = summaries(self.results), targets(self.results, TARGETS)
        print_head(m, self.plan)
        for case in CASES:
            print(f"\n1 subscriber, 128-byte messages, {case_name(*case)}")
            print_table(ROWS, VARIANTS, table[case_name(*case)])
        ladder = self.ladder(table)
        print("\nTargets")
        print_targets(judged)
        return {"cases": table, "refused": self.refused, "ladder": ladder, "targets": judged,
                "notes": warnings_of(m) + self.notes()}

    def ladder(self, table):
        """Prints p99 of every rate; returns, by variant, the highest that is within the limit."""
        highest, rows = {}, []
        columns = {v: {} for v in VARIANTS}
        for rate in sorted({RATE, *self.plan["ladder"]}):
            rows.append((f"{rate:,} messages/s: p99, ms", rate, 1000, 2))
            for variant in VARIANTS:
                case = case_name(rate, LADDER_CONNECTIONS)
                if variant in self.refused.get(case, {}):
                    continue
                columns[variant][rate] = table[case][variant][LATENCY]
                if columns[variant][rate]["median"] <= LIMIT_MS * 1000:
                    highest[variant] = rate
        print(f"\nHow far it goes: through {LADDER_CONNECTIONS} connections (a dash: refused)")
        print_table(rows, VARIANTS, columns)
        said = [f"{highest[v]:,}/s" if v in highest else "none of these" for v in VARIANTS]
        print(f"  {f'highest with p99 under {LIMIT_MS} ms':36}" + "".join(f" {s:>23}" for s in said))
        return highest

    def notes(self):
        out = []
        for case, variants in self.results.items():
            for variant, rounds in variants.items():
                late, p99, busy = (statistics.median([r[k] for r in rounds]) for k in
                                   ("lateness_p99_us", LATENCY, "client_cpu_percent"))
                if busy > 90 or late > max(p99 / 2, 500):  # of a few hundred us, it is no news
                    out.append(f"{case}, {variant}: the load generator itself was late (p99 "
                               f"{late / 1000:.2f} ms, busy {busy:.0f} %)")
        return out


def print_head(m, plan):
    print_machine(m)
    print(f"redis-server {m['redis']}, nothing on disk. A node has one worker. Nodes, redis-server and "
          f"load\ngenerator share {len(all_cpus())} cores, which a cluster would not; node A is the only "
          f"one where there is one.\nMedian (min..max) of {plan['rounds']} alternating rounds of "
          f"{plan['seconds']} s; other rates than {RATE:,}/s: {plan['ladder_rounds']} of "
          f"{plan['ladder_seconds']} s.")
