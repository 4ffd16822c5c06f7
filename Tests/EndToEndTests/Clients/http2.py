"""Speaks HTTP/2 as no well-meant client does, frame by frame. Prints one JSON object for each case that it is given.

Usage: http2.py PORT CASE...
A case is a name of the table at the end, or a path to ask for.
"""
import json
import socket
import sys
import time

from hpack import Decoder, Encoder
from hyperframe.frame import (
    ContinuationFrame, DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame, PriorityFrame, RstStreamFrame,
    SettingsFrame, WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
WINDOW = SettingsFrame.INITIAL_WINDOW_SIZE
GET = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/echo/x")]
POST = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/sink")]


def to(path, fields=GET):
    return [(name, path if name == ":path" else value) for name, value in fields]


class Client:
    def __init__(self, port, settings=None, acknowledges=True):
        self.acknowledges = acknowledges
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.decoder, self.encoder = Decoder(), Encoder()
        self.bytes = b""
        self.is_closed = False
        self.goaways, self.streams, self.pongs = [], {}, 0
        self.on_data = lambda stream, count: None
        self.send_bytes(PREFACE + SettingsFrame(0, settings or {}).serialize())
        # Weir's own settings come first. Acknowledged, they are in force.
        self.read_until(lambda: self.has_settings)

    has_settings = False

    def on_ping(self, frame):
        self.send(PingFrame(0, frame.opaque_data, flags=["ACK"]))

    def send_bytes(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            self.is_closed = True

    def send(self, *frames):
        self.send_bytes(b"".join(frame.serialize() for frame in frames))

    def headers(self, stream, fields, end=True, whole=True):
        frame = HeadersFrame(stream, self.encoder.encode(fields))
        frame.flags |= ({"END_STREAM"} if end else set()) | ({"END_HEADERS"} if whole else set())
        self.stream(stream)
        return frame

    def send_long_headers(self, stream, fields):
        """A header in several frames."""
        self.stream(stream)
        block = self.encoder.encode(fields)
        parts = [block[start:start + 16_000] for start in range(0, len(block), 16_000)]
        frames = [HeadersFrame(stream, parts[0], flags=["END_STREAM"])]
        frames += [ContinuationFrame(stream, part) for part in parts[1:]]
        frames[-1].flags.add("END_HEADERS")
        self.send(*frames)

    def data(self, stream, data, end=False):
        return DataFrame(stream, data, flags=["END_STREAM"] if end else [])

    def stream(self, number):
        return self.streams.setdefault(
            number, {"status": None, "body": b"", "reset": None, "ended": False, "interim": [], "trailers": None})

    def read_until(self, is_done):
        while not is_done() and not self.is_closed:
            while len(self.bytes) < 9 or len(self.bytes) < 9 + int.from_bytes(self.bytes[:3]):
                try:
                    more = self.socket.recv(65536)
                except ConnectionResetError:
                    more = b""
                if not more:
                    self.is_closed = True
                    return
                self.bytes += more
            length = int.from_bytes(self.bytes[:3])
            frame, _ = Frame.parse_frame_header(self.bytes[:9])
            frame.parse_body(memoryview(self.bytes[9:9 + length]))
            self.bytes = self.bytes[9 + length:]
            self.handle(frame)

    def handle(self, frame):
        if isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            self.has_settings = True
            if self.acknowledges:
                self.send(SettingsFrame(0, flags=["ACK"]))
        elif isinstance(frame, GoAwayFrame):
            self.goaways.append(frame.error_code)
        elif isinstance(frame, PingFrame):
            if "ACK" in frame.flags:
                self.pongs += 1
            else:
                self.on_ping(frame)
        elif isinstance(frame, HeadersFrame):
            stream, fields = self.stream(frame.stream_id), dict(self.decoder.decode(frame.data))
            status = fields.get(":status")
            if status is None:
                stream["trailers"] = fields
            elif status.startswith("1"):
                stream["interim"].append(int(status))
            else:
                stream["status"], stream["fields"] = int(status), fields
            stream["ended"] |= "END_STREAM" in frame.flags
        elif isinstance(frame, DataFrame):
            stream = self.stream(frame.stream_id)
            stream["body"] += frame.data
            stream["ended"] |= "END_STREAM" in frame.flags
            self.on_data(frame.stream_id, len(frame.data))
        elif isinstance(frame, RstStreamFrame):
            stream = self.stream(frame.stream_id)
            stream["reset"] = frame.error_code
            stream["ended"] = True

    def wait(self, *streams):
        self.read_until(lambda: all(self.stream(stream)["ended"] for stream in streams))

    def wait_for_close(self):
        self.read_until(lambda: False)

    def result(self, number=1):
        stream = self.stream(number)
        return {"status": stream["status"], "reset": stream["reset"],
                "goaway": next((code for code in self.goaways if code), None), "closed": self.is_closed}


# A request that must be refused

def refused(fields, data=None, end=None):
    def case(port):
        client = Client(port)
        client.send(client.headers(1, fields, end=data is None if end is None else end))
        if data is not None:
            client.send(client.data(1, data, end=True))
        client.wait(1)
        return client.result()
    return case


def large_header(port):
    client = Client(port)
    # The acknowledgement must have arrived, for the size is enforced from then on.
    client.send(PingFrame(0, b"01234567"))
    client.read_until(lambda: client.pongs)
    client.send_long_headers(1, GET + [(f"x-{index}", "a" * 4000) for index in range(10)])
    client.wait(1)
    return client.result()


def field(name, value):
    return refused(GET + [(name, value)])


def raw_name(name):
    """A field whose name the encoder would not write so."""
    def case(port):
        client = Client(port)
        block = client.encoder.encode(GET) + b"\x00" + bytes([len(name)]) + name + b"\x01a"
        client.send(HeadersFrame(1, block, flags=["END_HEADERS", "END_STREAM"]))
        client.wait(1)
        return client.result()
    return case


# Floods

def flood(frames, count=5000):
    def case(port):
        client = Client(port)
        client.send(*frames(client, count))
        client.wait_for_close()
        return client.result()
    return case


def rapid_reset(client, count):
    for index in range(count):
        yield client.headers(2 * index + 1, to("/charged"))
        yield RstStreamFrame(2 * index + 1, 8)


def continuations(client, count):
    yield client.headers(1, GET, whole=False)
    for _ in range(count):
        yield ContinuationFrame(1, b"")


def empty_data(client, count):
    yield client.headers(1, POST, end=False)
    for _ in range(count):
        yield client.data(1, b"")


def byte_windows(port):
    """Lets a response through byte by byte."""
    client = Client(port, {WINDOW: 1})
    client.send(client.headers(1, to("/big/100000")))
    client.on_data = lambda stream, count: client.send(*[WindowUpdateFrame(1, 1) for _ in range(50)])
    client.wait(1)
    client.wait_for_close()
    return client.result()


def too_many_streams(port):
    """One more than the limit of 50, before its announcement is acknowledged."""
    client = Client(port, acknowledges=False)
    client.send(*[client.headers(2 * index + 1, to("/events")) for index in range(51)])
    client.wait(101)
    return client.result(101)


def header_bomb(port):
    """One large field in the table, named a thousand times."""
    client = Client(port)
    block = client.encoder.encode(GET + [("x-large", "a" * 3000)])
    client.send(HeadersFrame(1, block + b"\xbe" * 1000, flags=["END_HEADERS", "END_STREAM"]))
    client.wait_for_close()
    return client.result()


def raw(data, settings=True):
    def case(port):
        client = Client(port)
        client.send_bytes(data)
        client.wait_for_close()
        return client.result()
    return case


def late_preface(port):
    """The preface after a request of HTTP/1.1 is no second protocol."""
    connection = socket.create_connection(("127.0.0.1", port), 20)
    connection.sendall(b"GET /echo/x HTTP/1.1\r\nHost: a\r\n\r\n" + PREFACE + SettingsFrame(0).serialize())
    data = b""
    while more := connection.recv(65536):
        data += more
    return {"statuses": [int(part[:3]) for part in data.split(b"HTTP/1.1 ")[1:]], "closed": True}


# What a good client sees

def interleaved(port):
    """A hundred requests at once, each answered with its own."""
    client = Client(port)
    numbers = [2 * index + 1 for index in range(100)]
    client.send(*[client.headers(number, to(f"/echo/{number}")) for number in numbers])
    client.wait(*numbers)
    answers = [json.loads(client.stream(number)["body"])["path"] == f"/echo/{number}" for number in numbers]
    return {"right": sum(answers), "statuses": sorted({client.stream(number)["status"] for number in numbers})}


def small_windows(port):
    """A response of 300 kB through a window of 1,000 bytes, opened as it is read."""
    client = Client(port, {WINDOW: 1000})
    client.send(client.headers(1, to("/big/300000")))
    client.on_data = lambda stream, count: client.send(WindowUpdateFrame(0, count), WindowUpdateFrame(1, count))
    client.wait(1)
    return {"length": len(client.stream(1)["body"]), "status": client.stream(1)["status"]}


def trailers(port):
    client = Client(port)
    fields = [(name, "/echo/x" if name == ":path" else value) for name, value in POST]
    client.send(client.headers(1, fields, end=False), client.data(1, b"abc"))
    client.send(client.headers(1, [("x-forwarded-for", "6.6.6.6")]))
    client.wait(1)
    body = client.stream(1)["body"]
    return {"status": client.stream(1)["status"], "length": json.loads(body)["length"], "leaked": b"6.6.6.6" in body}


def padded(port):
    """Padding counts for flow control, but is no body."""
    client = Client(port)
    client.send(client.headers(1, POST, end=False))
    for _ in range(3000):
        client.send(DataFrame(1, b"abc", pad_length=255, flags=["PADDED"]))
    client.send(client.data(1, b"", end=True))
    client.wait(1)
    return {"length": json.loads(client.stream(1)["body"])["length"]}


def expects(port):
    """The body follows once it was asked for."""
    client = Client(port)
    client.send(client.headers(1, POST + [("expect", "100-continue")], end=False))
    client.read_until(lambda: client.stream(1)["interim"])
    client.send(client.data(1, b"hello", end=True))
    client.wait(1)
    return {"interim": client.stream(1)["interim"], "length": json.loads(client.stream(1)["body"])["length"]}


def denied_upload(port):
    """The first is served, the next denied while its body is still under way; the connection goes on."""
    client = Client(port)
    client.send(client.headers(1, to("/once", POST), end=False), client.data(1, b"x", end=True))
    client.wait(1)
    client.send(client.headers(3, to("/once", POST), end=False), client.data(3, b"y" * 1000))
    client.wait(3)
    client.send(client.data(3, b"y" * 1000, end=True))
    client.send(client.headers(5, to("/once", POST) + [("content-length", "100000000")], end=False))
    client.wait(5)
    early = client.stream(5)["status"]
    client.read_until(lambda: client.stream(5)["reset"] is not None)
    client.send(client.headers(7, GET))
    client.wait(7)
    return {"first": client.stream(1)["status"], "second": client.stream(3)["status"], "early": early,
            "reset": client.stream(5)["reset"], "next": client.stream(7)["status"]}


def broken_off(port):
    """The upstream breaks off one response: that stream is reset, and the other goes on."""
    client = Client(port)
    client.send(client.headers(1, to("/broken")), client.headers(3, GET))
    client.wait(1, 3)
    return {"broken": client.stream(1)["reset"], "other": client.stream(3)["status"]}


def cancelled(port):
    """Cancels a request: the upstream is told, and the concurrency limit has room again."""
    client = Client(port)
    numbers = iter(range(3, 10**6, 2))

    def ask(path):
        number = next(numbers)
        client.send(client.headers(number, to(path)))
        client.wait(number)
        return client.stream(number)

    def wait_for(key):
        while json.loads(ask("/state")["body"])[key] != 1:
            pass

    client.send(client.headers(1, to("/hold")))
    wait_for("active")
    second = ask("/hold")["status"]
    client.send(RstStreamFrame(1, 8))
    wait_for("cancelled")
    ask("/release")
    return {"second": second, "after": ask("/hold")["status"]}


def bodiless(port):
    """HEAD, 204 and 304 end with their header."""
    client = Client(port)
    client.send(client.headers(1, [(name, "HEAD" if name == ":method" else value) for name, value in to("/health")]))
    client.send(client.headers(3, to("/status/204")), client.headers(5, to("/status/304")))
    client.wait(1, 3, 5)
    return {"statuses": [client.stream(number)["status"] for number in (1, 3, 5)],
            "bodies": [len(client.stream(number)["body"]) for number in (1, 3, 5)]}


def discarded(port):
    """Sixty uploads, answered early. Their data arrives after they were reset, and the connection goes on."""
    client = Client(port)
    numbers = [2 * index + 1 for index in range(60)]
    client.send(*[
        client.headers(number, to("/once", POST) + [("content-length", "100000000")], end=False) for number in numbers])
    client.wait(*numbers)
    client.read_until(lambda: all(client.stream(number)["reset"] is not None for number in numbers))
    client.send(*[client.data(number, b"x" * 100) for number in numbers])
    client.send(client.headers(201, GET))
    client.wait(201)
    return {"status": client.stream(201)["status"]}


def unindexed(port):
    """The client offers a table of 4 GB for header fields. None of the answers' fields is entered."""
    client = Client(port, {SettingsFrame.HEADER_TABLE_SIZE: 2**32 - 1})
    client.decoder.max_allowed_table_size = 2**32 - 1
    client.send(client.headers(1, GET))
    client.wait(1)
    return {"status": client.stream(1)["status"], "entries": len(client.decoder.header_table.dynamic_entries)}


def rejected_head(port):
    """A HEAD request that isn't served ends with its header, like any other."""
    client = Client(port)
    fields = [(name, "HEAD" if name == ":method" else value) for name, value in GET]
    client.send(client.headers(1, fields + [("host", "b")]))
    client.wait(1)
    return {"status": client.stream(1)["status"], "reset": client.stream(1)["reset"]}


def never_reads(port):
    """Asks for more than fits into any socket, and reads nothing."""
    client = Client(port, {WINDOW: 2**31 - 1})
    client.send(WindowUpdateFrame(0, 2**31 - 1 - 65_535))
    client.send(*[client.headers(2 * index + 1, to("/big/50000000")) for index in range(3)])
    print("sent", flush=True)
    time.sleep(60)


def then_another(path):
    """A request, and another one after it on the same connection."""
    def case(port):
        client = Client(port)
        for number, target in [(1, path), (3, "/x")]:
            client.send(client.headers(number, to(target)))
            client.wait(number)
        return {"first": client.stream(1)["status"], "reset": client.stream(1)["reset"],
                "second": client.stream(3)["status"]}
    return case


def drained(port):
    """Holds a request until the server drains: prints, waits for the announcement, then releases it elsewhere.

    It sends another request before it acknowledges the announcement."""
    client = Client(port)

    def send_late(frame):
        client.send(client.headers(3, to("/echo/x", POST), end=False), client.data(3, b"late", end=True))
        client.send(PingFrame(0, frame.opaque_data, flags=["ACK"]))

    client.on_ping = send_late
    client.send(client.headers(1, to("/events")))
    client.read_until(lambda: b"first" in client.stream(1)["body"])
    print("held", flush=True)
    client.read_until(lambda: len(client.goaways) >= 2)
    # Behind the last stream: refused, and the others go on.
    client.send(client.headers(5, to("/echo/x", POST), end=False), client.data(5, b"too late", end=True))
    client.wait(5)
    print("announced", flush=True)
    client.wait(1, 3, 5)
    client.wait_for_close()
    return {"body": client.stream(1)["body"].decode(), "goaways": client.goaways, "closed": client.is_closed,
            "late": client.stream(3)["status"], "too late": client.stream(5)["reset"]}


CASES = {
    "an upper-case name": raw_name(b"X-Upper"),
    "an empty name": raw_name(b""),
    "a blank in a name": raw_name(b"x a"),
    "connection": field("connection", "close"),
    "transfer-encoding": field("transfer-encoding", "chunked"),
    "upgrade": field("upgrade", "h2c"),
    "te": field("te", "gzip"),
    "two paths": refused(GET + [(":path", "/b")]),
    "a late pseudo-header": refused(GET[:3] + [("x-a", "b"), GET[3]]),
    "an unknown pseudo-header": refused(GET + [(":a", "b")]),
    "no path": refused(GET[:3]),
    "CR and LF in the path": refused(to("/echo/x HTTP/1.1\r\nX-A: b")),
    "NUL in the path": refused(to("/echo/\0")),
    "CR and LF in the authority": refused([(name, "a\r\nX-A: b" if name == ":authority" else value) for name, value in GET]),
    "CR and LF in the method": refused([(name, "GET /\r\n" if name == ":method" else value) for name, value in GET]),
    "CR and LF in a value": field("x-a", "b\r\nX-B: c"),
    "NUL in a value": field("x-a", "b\0"),
    "a blank in the path": refused(to("/echo/x HTTP/1.1")),
    "a Host that contradicts": field("host", "b"),
    "GET with a body": refused(GET, b"smuggled"),
    "GET with a length": refused(GET + [("content-length", "8")], b"smuggled"),
    "a body shorter than its length": refused(POST + [("content-length", "8")], b"abc"),
    "a body longer than its length": refused(POST + [("content-length", "2")], b"abc"),
    "a length without a body": refused(POST + [("content-length", "8")]),
    "CONNECT": refused([(":method", "CONNECT"), (":authority", "a:443")]),
    "a header too large": large_header,
    "too many fields": refused(GET + [(f"x-{index}", "a") for index in range(300)]),
    "rapid reset": flood(rapid_reset, 1000),
    "PING": flood(lambda client, count: (PingFrame(0, b"01234567") for _ in range(count))),
    "SETTINGS": flood(lambda client, count: (SettingsFrame(0) for _ in range(count))),
    "PRIORITY": flood(lambda client, count: (PriorityFrame(1, depends_on=3) for _ in range(count))),
    "empty DATA": flood(empty_data),
    "CONTINUATION": flood(continuations),
    "WINDOW_UPDATE": flood(lambda client, count: (WindowUpdateFrame(0, 1) for _ in range(count))),
    "windows of a byte": byte_windows,
    "too many streams": too_many_streams,
    "a header bomb": header_bomb,
    "DATA without a stream": raw(DataFrame(9, b"a").serialize()),
    "a frame too large": raw(b"\x7f\xff\xff\x00\x00\x00\x00\x00\x01" + b"a" * 100),
    "a window that overflows": raw(WindowUpdateFrame(0, 2**31 - 1).serialize() * 2),
    "noise": raw(b"\xff" * 100),
    "a preface after a request": late_preface,
    "interleaved": interleaved,
    "small windows": small_windows,
    "trailers": trailers,
    "padded": padded,
    "expects": expects,
    "denied upload": denied_upload,
    "broken off": broken_off,
    "cancelled": cancelled,
    "bodiless": bodiless,
    "discarded": discarded,
    "unindexed": unindexed,
    "a rejected HEAD": rejected_head,
    "never reads": never_reads,
    "drained": drained,
}

if __name__ == "__main__":
    for name in sys.argv[2:]:
        case = then_another(name) if name.startswith("/") else CASES[name]
        print(json.dumps({"case": name, **case(int(sys.argv[1]))}), flush=True)
