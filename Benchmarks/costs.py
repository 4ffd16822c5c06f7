"""Measures what it takes to read a cost from a response: the gateway with a limit whose cost is in the body, beside the
same gateway with a limit that counts requests."""
import json
import os
import shutil
import statistics
import tempfile
import time

from run import nginx, port, requests_a_second, resident, run, weir

LIMIT = "limits: [{name: t, rate: 1000000000/second%s}]\n"
COST = ", cost: {response: tokens, reserve: 1, default: 100}"


def megabytes_a_second(target, path):
    begin = time.monotonic()
    length = int(run("curl", "-s", "-o", "/dev/null", "-w", "%{size_download}", f"http://127.0.0.1:{target}/{path}"))
    return length / (time.monotonic() - begin) / 1e6


def write_answers(folder):
    usage = {"usage": {"prompt_tokens": 12, "completion_tokens": 30, "total_tokens": 42}}
    with open(os.path.join(folder, "small.json"), "w") as file:
        json.dump({"choices": [{"message": {"content": "word " * 180}}], **usage}, file)
    with open(os.path.join(folder, "large.json"), "w") as file:
        vector = json.dumps([round(0.123456 * (n % 997 - 498), 6) for n in range(100_000)])
        file.write('{"data":[' + ",".join('{"embedding":' + vector + "}" for _ in range(100)) + '],"usage":' + json.dumps(usage["usage"]) + "}")
    with open(os.path.join(folder, "events.sse"), "w") as file:
        for n in range(10_000):
            file.write("data: " + json.dumps({"choices": [{"delta": {"content": f"word{n} "}}], "usage": None}) + "\n\n")
        file.write("data: " + json.dumps({"choices": [], **usage}) + "\n\ndata: [DONE]\n\n")


def costs(rounds, seconds):
    folder = tempfile.mkdtemp(prefix="weir-bench-")
    servers = []
    try:
        os.chmod(folder, 0o755)
        write_answers(folder)
        upstream = port()
        servers.append(nginx(
            folder, "upstream", "keepalive_requests 1000000000; types { application/json json; text/event-stream sse; }"
            f"server {{ listen 127.0.0.1:{upstream}; root {folder}; }}", upstream))
        targets, ids = {}, {}
        for name, cost in (("with", COST), ("without", "")):
            server, targets[name] = weir(folder, name, upstream, LIMIT % cost)
            servers.append(server)
            ids[name] = server.process.pid
        measures = {
            "1 kB JSON, requests a second": (lambda target: requests_a_second(target, seconds, "small.json"), 0.95),
            "100 MB JSON, MB a second": (lambda target: megabytes_a_second(target, "large.json"), 0.9),
            "10,000 events, streams a second": (lambda target: requests_a_second(target, seconds, "events.sse", connections=4), 0.9),
        }
        for name, (measure, wanted) in measures.items():
            values = {side: [] for side in targets}
            for round in range(rounds + 1):
                for side in sorted(targets, reverse=round % 2 == 1):
                    value = measure(targets[side])
                    # The first round warms up.
                    if round > 0:
                        values[side].append(value)
            ratios = [a / b for a, b in zip(values["with"], values["without"])]
            print(f"{name}: with {statistics.median(values['with']):,.0f}, without {statistics.median(values['without']):,.0f};"
                  f" ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); target at least {wanted}", flush=True)
        print("resident after that: " + ", ".join(f"{side} {resident(pid) / 1e6:.0f} MB" for side, pid in ids.items()), flush=True)
    finally:
        for server in reversed(servers):
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
