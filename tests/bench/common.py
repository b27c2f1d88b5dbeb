"""What the scenarios of ./dev bench share: server processes, the load generator, the machine, numbers.

A scenario is a module with FULL and QUICK (its plans), CONFIG (of the server) and a class Bench with
run(), which fills self.results (case -> variant -> a dict per round), and report(), which prints.
"""

import os
import platform
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time


class Failed(Exception):
    pass


def prepare_child(cpus):
    os.sched_setaffinity(0, cpus)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Server:
    """One server process; its output goes to a file, and it is ready when that matches `ready`."""

    def __init__(self, name, command, cpus, folder, ready=r"ready\b.*\bport=(\d+).*\n",
                 handles_sigterm=True):
        self.name, self.handles_sigterm = name, handles_sigterm
        self.log = tempfile.TemporaryFile("w+", dir=folder)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("CARILLON_")}
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            env=environment, preexec_fn=lambda: prepare_child(cpus))
        self.pid = self.process.pid
        self.ready = self.wait_ready(ready)

    def text(self):
        # Not by seek() and read(): the server writes where that leaves the file.
        log = self.log.fileno()
        return os.pread(log, os.fstat(log).st_size, 0).decode(errors="replace")

    def wait_ready(self, pattern):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            ready = re.search(pattern, self.text())
            if ready:
                return ready
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        self.process.kill()
        self.process.wait()
        raise Failed(f"{self.name} did not start:\n{self.text()}")

    @property
    def port(self):
        return int(self.ready.group(1))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Failed(f"{self.name} did not end after SIGTERM:\n{self.text()[-2000:]}")
        if self.handles_sigterm and status != 0:
            raise Failed(f"{self.name} ended with status {status}:\n{self.text()[-2000:]}")


def load(program, arguments, cpus, servers):
    """Runs carillon-bench on the servers; its KEY=VALUE lines as a dict."""
    command = [program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True,
                          preexec_fn=lambda: prepare_child(cpus))
    if done.returncode != 0:
        logs = "".join(f"\nlog of {s.name}, last lines:\n{s.text()[-2000:]}" for s in servers)
        raise Failed(f"{' '.join(command)}\n{done.stderr}{logs}")
    values = {}
    for line in done.stdout.splitlines():
        key, _, value = line.partition("=")
        if re.fullmatch(r"-?[0-9.]+", value):
            values[key] = float(value)
    return values


def stop_all(servers):
    """Stops every one of them, then tells the first failure; never hides one that is under way."""
    failure = None
    for server in servers:
        try:
            server.stop()
        except Failed as e:
            failure = failure or e
    if failure and not sys.exc_info()[0]:
        raise failure


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


# ---- the machine ----


def first_match(path, pattern):
    try:
        with open(path) as f:
            found = re.search(pattern, f.read(), re.M)
    except OSError:
        found = None
    return found.group(1).strip() if found else "unknown"


def output_of(command):
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError:
        return ""


def libraries(program):
    """Debian's version of each library that the program loads, of the package that owns it."""
    found = {}
    for name in re.findall(r"=> \S*?/(lib[^/ ]+\.so[.0-9]*) ", output_of(["ldd", program])):
        if not re.match(r"lib(c|websockets|uv|jansson|sodium|crypto|hiredis)\.so", name):
            continue
        package = output_of(["dpkg-query", "-S", f"*/{name}"]).split(":")[0].splitlines()
        version = package and output_of(["dpkg-query", "-W", "-f", "${Version}\n", package[0]])
        found[name.split(".so")[0]] = version.splitlines()[0] if version else name
    return found


def cpu_ticks():
    with open("/proc/stat") as f:
        return [int(x) for x in f.readline().split()[1:9]]


def machine(options):
    cpus = sorted(os.sched_getaffinity(0))
    return {
        "cpu": first_match("/proc/cpuinfo", r"^model name\s*: (.*)"),
        "cores": len(cpus),
        "virtual": "hypervisor" in first_match("/proc/cpuinfo", r"^flags\s*: (.*)").split(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": first_match("/etc/os-release", r'^PRETTY_NAME="(.*)"'),
        "kernel": platform.release(),
        "carillon": output_of([options.carillon, "--version"]).splitlines()[:1],
        "libraries": libraries(options.carillon),
        "load_average_before": os.getloadavg()[0],
        "cpus_used": cpus[:2],
    }


# ---- results ----


def summary(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values),
            "values": values}


def summaries(results):
    return {case: {variant: {key: summary([r[key] for r in rounds]) for key in rounds[0]}
                   for variant, rounds in variants.items()}
            for case, variants in results.items()}


def number(value, digits):
    """As short as it can be without hiding a difference that matters: 12.34, 4,567, 145k, 1.04M."""
    if digits == 0 and value >= 10000:
        return f"{value / 1e6:.2f}M" if value >= 1e6 else f"{value / 1e3:.0f}k"
    return f"{value:,.{digits}f}"


def cell(s, divide, digits):
    median, low, high = (number(s[k] / divide, digits) for k in ("median", "min", "max"))
    if len(s["values"]) == 1:
        return median
    return f"{median} ({low}..{high})"


def targets(results, rows):
    """Each row: (sentence, case, A, B or None, key, at most); see the scenarios."""
    out = []
    for sentence, case, a, b, key, limit in rows:
        values = [r[key] for r in results[case][a]]
        if b:
            values = [x / r[key] for x, r in zip(values, results[case][b])]
        out.append({"what": sentence, "case": case, "at_most": limit, **summary(values),
                    "is_met": statistics.median(values) <= limit})
    return out


def print_targets(judged):
    for t in judged:
        digits = 0 if t["at_most"] > 1000 else 2
        print(f"  {t['what'] + ', ' + t['case']:60}{cell(t, 1, digits):>22}  "
              f"<= {t['at_most']:<6}{'met' if t['is_met'] else 'NOT MET'}")


def print_table(rows, columns, table):
    """rows: (name, key that carillon-bench prints, divide by, digits); what a column lacks is a dash."""
    print(f"  {'':36}" + "".join(f"{c:>24}" for c in columns))
    for name, key, divide, digits in rows:
        cells = [cell(table[c][key], divide, digits) if key in table[c] else "-" for c in columns]
        print(f"  {name:36}" + "".join(f" {c:>23}" for c in cells))


def print_machine(m):
    libs = ", ".join(f"{k} {v}" for k, v in m["libraries"].items())
    print(f"{' '.join(m['carillon'])}; {libs}\n{m['cpu']}{' (virtual)' if m['virtual'] else ''}, "
          f"{m['cores']} cores, {m['memory_gib']} GiB; {m['system']}, Linux {m['kernel']}")


def warnings_of(m):
    out = []
    if m["load_average_before"] > 0.5:
        out.append(f"the machine was not idle before: load average {m['load_average_before']:.2f}")
    if m["stolen_percent"] > 1:
        out.append(f"the hypervisor took {m['stolen_percent']:.1f} % of the processor time away")
    return out
