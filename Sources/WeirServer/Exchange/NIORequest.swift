import NIOHTTP1
import WeirHTTP

/// Presents a NIO request to ``RequestLimiter`` without copying its headers.
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
