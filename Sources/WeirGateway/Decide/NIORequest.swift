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

extension String {
    /// Compares ASCII text without regard to case.
    func isEqualIgnoringCase(_ other: String) -> Bool {
        guard utf8.count == other.utf8.count else { return false }
        var left = self
        var right = other
        return left.withUTF8 { left in
            right.withUTF8 { right in
                for index in 0..<left.count where left[index].asciiLowercased != right[index].asciiLowercased {
                    return false
                }
                return true
            }
        }
    }
}
