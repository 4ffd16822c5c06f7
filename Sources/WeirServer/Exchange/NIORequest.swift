import NIOHTTP1
import WeirHTTP

/// A request of NIO's as ``RequestLimiter`` sees it, without a copy of its headers.
struct NIORequest: LimitableRequest {
    let head: HTTPRequestHead

    var method: String { head.method.rawValue }
    var target: String { head.uri }

    var host: String? {
        for (name, value) in head.headers where name.isEqualIgnoringCase("host") { return value }
        return nil
    }

    func forEachValue(of name: String, _ body: (String) -> Void) {
        for (other, value) in head.headers where other.isEqualIgnoringCase(name) { body(value.trimmingBlanks()) }
    }
}
