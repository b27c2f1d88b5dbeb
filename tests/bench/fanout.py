"""Carillon against the bare epoll server of this folder: same load, alternating rounds.

Carillon with one worker, the reference, and Carillon with two workers run the same cases one right
after the other, in an order that turns around each round, so that a noisy neighbour or a hot
processor hits all three. Ratios are taken pair by pair within a round.
"""

import os
import statistics

from common import (Server, load, print_machine, print_table, print_targets, progress,
                    stop_all, summaries, targets, warnings_of)

ONE, TWO, BARE = "carillon, 1 worker", "carillon, 2 workers", "bare epoll"
VARIANTS = [ONE, BARE, TWO]
CONFIG = {"http_server": {"address": "127.0.0.1", "port": 0}, "client": {"insecure": True}}
CROWD = 10000  # connections of the last case

# Deliveries are counted at the receivers; the error is one message to all, so not too short.
FULL = {"rounds": 10, "crowd_rounds": 5, "warmup": 0.2, "seconds": 0.7, "crowd_seconds": 2.0}
QUICK = {"rounds": 5, "crowd_rounds": 1, "warmup": 0.1, "seconds": 0.3, "crowd_seconds": 1.0}

CASES = [
    ("1 in flight", ["--window", "1"]),
    ("16 in flight", ["--window", "16"]),
    ("open loop, 50 messages/s", ["--rate", "50"]),
]
CROWD_CASE = f"{CROWD:,} connections"

# (name in the table, key that carillon-bench prints, divide by, digits)
FANOUT_ROWS = [
    ("deliveries/s", "deliveries_per_s", 1, 0),
    ("server CPU, us per delivery", "server_cpu_us_per_delivery", 1, 2),
    ("server CPU, % of one core", "server_cpu_percent", 1, 0),
    ("latency p50, ms", "latency_p50_us", 1000, 2),
    ("latency p99, ms", "latency_p99_us", 1000, 2),
    ("latency p99.9, ms", "latency_p999_us", 1000, 2),
    ("latency max, ms", "latency_max_us", 1000, 2),
    ("deliveries per read of a subscriber", "deliveries_per_read", 1, 1),
    ("load generator CPU, us per delivery", "client_cpu_us_per_delivery", 1, 2),
]
CROWD_ROWS = [
    ("connects/s, upgrade to subscribed", "connects_per_s", 1, 0),
    ("all subscribed after, s", "connect_s", 1, 2),
    ("one connect p99, ms", "connect_p99_us", 1000, 1),
    ("server memory, bytes per connection", "bytes_per_connection", 1, 0),
    ("idle server CPU, % of one core", "idle_cpu_percent", 1, 2),
    ("100 messages/s to all: deliveries/s", "deliveries_per_s", 1, 0),
    ("its server CPU, us per delivery", "server_cpu_us_per_delivery", 1, 2),
    ("its latency p99, ms", "latency_p99_us", 1000, 1),
    ("witness in another channel p50, ms", "witness_p50_us", 1000, 2),
    ("witness p99, ms", "witness_p99_us", 1000, 2),
    ("witness max, ms", "witness_max_us", 1000, 2),
]
CPU = "server_cpu_us_per_delivery"
# (sentence, case, A, B or None, key, at most): the value is A's, or A/B of the same round
TARGETS = [
    ("CPU per delivery, 1 worker / bare epoll", CASES[0][0], ONE, BARE, CPU, 1.25),
    ("CPU per delivery, 1 worker / bare epoll", CASES[1][0], ONE, BARE, CPU, 1.25),
    ("CPU per delivery, 2 workers / 1 worker", CASES[0][0], TWO, ONE, CPU, 1.5),
    ("CPU per delivery, 2 workers / 1 worker", CASES[1][0], TWO, ONE, CPU, 1.5),
    ("bytes per idle connection, 1 worker", CROWD_CASE, ONE, None, "bytes_per_connection", 3072),
    ("bytes per idle connection, 2 workers", CROWD_CASE, TWO, None, "bytes_per_connection", 3072),
    ("seconds until all subscribed, 1 worker", CROWD_CASE, ONE, None, "connect_s", 5),
    ("seconds until all subscribed, 2 workers", CROWD_CASE, TWO, None, "connect_s", 5),
    ("witness p99 in us, 1 worker", CROWD_CASE, ONE, None, "witness_p99_us", 50000),
    ("witness p99 in us, 2 workers", CROWD_CASE, TWO, None, "witness_p99_us", 50000),
]


def cpus_for(variant):
    """(server's, load generator's) processors: a core each, or, with two workers, two for both."""
    cpus = sorted(os.sched_getaffinity(0))[:2]
    if variant == TWO or len(cpus) < 2:
        return set(cpus), set(cpus)
    return {cpus[0]}, {cpus[1]}


def start(variant, options, folder):
    command = [options.reference]
    if variant != BARE:
        command = [options.carillon, "--config", os.path.join(folder, "config.json"),
                   "--workers", "1" if variant == ONE else "2"]
    return Server(variant, command, cpus_for(variant)[0], folder, handles_sigterm=variant != BARE)


class Bench:
    def __init__(self, options, plan, folder):
        self.options, self.plan, self.folder = options, plan, folder
        self.results = {}  # case -> variant -> list of dicts, one per round

    def measure(self, case, server, arguments):
        arguments = ["--port", str(server.port), "--pid", str(server.pid), *arguments]
        values = load(self.options.load, arguments, cpus_for(server.name)[1], [server])
        self.results.setdefault(case, {}).setdefault(server.name, []).append(values)

    def fanout_round(self, order):
        """All three servers are there at once; those that have nothing to do just wait."""
        common = ["--warmup", str(self.plan["warmup"]), "--seconds", str(self.plan["seconds"])]
        servers = []
        try:
            for variant in order:
                servers.append(start(variant, self.options, self.folder))
            for case, arguments in CASES:
                for server in servers:
                    self.measure(case, server, common + arguments)
        finally:
            stop_all(servers)

    def crowd_round(self, order):
        """A fresh server each, since what it costs in memory is its growth."""
        arguments = ["--mode", "witness", "--subscribers", str(CROWD), "--rate", "100",
                     "--hold", "0.5", "--warmup", "0.5",
                     "--seconds", str(self.plan["crowd_seconds"])]
        for variant in order:
            servers = [start(variant, self.options, self.folder)]
            try:
                self.measure(CROWD_CASE, servers[0], arguments)
            finally:
                stop_all(servers)

    def run(self):
        rounds, crowd_rounds = self.plan["rounds"], self.plan["crowd_rounds"]
        for i in range(rounds):
            progress(f"fan-out: round {i + 1} of {rounds}")
            self.fanout_round(VARIANTS[:: 1 if i % 2 == 0 else -1])
        for i in range(crowd_rounds):
            progress(f"{CROWD_CASE}: round {i + 1} of {crowd_rounds}")
            self.crowd_round(VARIANTS[:: 1 if i % 2 == 0 else -1])
        progress("")

    def report(self, m):
        table, judged = summaries(self.results), targets(self.results, TARGETS)
        print_head(m, self.plan)
        for case, _ in CASES:
            print(f"\n1,000 subscribers of one channel, 128-byte messages, {case}")
            print_table(FANOUT_ROWS, VARIANTS, table[case])
        print(f"\n{CROWD_CASE}, subscribed to one channel")
        print_table(CROWD_ROWS, VARIANTS, table[CROWD_CASE])
        print("\nTargets (ratios are taken round by round)")
        print_targets(judged)
        return {"cases": table, "targets": judged, "notes": warnings_of(m) + notes(self.results)}


def print_head(m, plan):
    print_machine(m)
    if m["cores"] >= 2:
        print("One worker and the reference have one core, the load generator another. Two workers "
              "share two\ncores with the load generator.")
    else:
        print("Server and load generator share the only core.")
    print(f"Median (min..max) of {plan['rounds']} alternating rounds of {plan['seconds']} s; "
          f"{CROWD_CASE}: {plan['crowd_rounds']} of {plan['crowd_seconds']} s.")


def notes(results):
    out = []
    for case, variants in results.items():
        for variant, rounds in variants.items():
            busy = statistics.median([r["client_cpu_percent"] for r in rounds])
            if busy > 90 and variant != TWO:
                out.append(f"{case}, {variant}: the load generator was at its limit ({busy:.0f} %)")
    return out
