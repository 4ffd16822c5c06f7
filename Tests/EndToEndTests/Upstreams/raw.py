"""An upstream that answers with prepared bytes, by the request's path. Usage: raw.py PORT"""
import socketserver
import sys
import time

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ANSWERS = {
    "/early-hints": b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n"
                    b"HTTP/1.1 103 Early Hints\r\nLink: </b.css>; rel=preload\r\n\r\n" + OK,
    "/continue": b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
    "/switch": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
    "/endless-hints": b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" * 101 + OK,
    "/large-hints": (b"HTTP/1.1 103 Early Hints\r\nLink: " + b"a" * 30_000 + b"\r\n\r\n") * 3 + OK,
    "/gzip-chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "/two-codings": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "/204": b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
    "/date": b"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 2\r\n\r\nok",
    "/cookies": b"HTTP/1.1 200 OK\r\n" + b"".join(b"Set-Cookie: c%d=1\r\n" % n for n in range(300)) + b"Content-Length: 2\r\n\r\nok",
    "/large-field": b"HTTP/1.1 200 OK\r\nX-Large: " + b"a" * 90_000 + b"\r\nContent-Length: 2\r\n\r\nok",
    "/huge-field": b"HTTP/1.1 200 OK\r\nX-Large: " + b"a" * 2_000_000 + b"\r\nContent-Length: 2\r\n\r\nok",
    "/huge-length": b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999\r\n\r\n",
    "/blank-length": b"HTTP/1.1 200 OK\r\nContent-Length: 2 \r\n\r\nok",
    "/noise": b"nothing that HTTP knows\r\n\r\n",
    "/closed": b"",
}


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        while line := self.rfile.readline():
            path = line.split()[1].decode()
            while self.rfile.readline() not in (b"\r\n", b""):
                pass
            if path == "/slow-signs-of-life":
                for _ in range(4):
                    self.wfile.write(b"HTTP/1.1 102 Processing\r\n\r\n")
                    time.sleep(0.6)
            answer = ANSWERS.get(path, OK)
            if not answer:
                return
            self.wfile.write(answer)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
