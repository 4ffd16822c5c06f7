import NIOHTTP1
import WeirHTTP

/// The header of an upstream's response on its way to the client, without the framing of either connection.
struct ResponseHeader {
    let status: HTTPResponseStatus
    private(set) var fields: [(String, String)] = []
    /// Whether a body follows. None does after HEAD, 204 and 304.
    let hasBody: Bool
    /// Whether the fields give the body's length.
    private(set) var hasLength = false
    private(set) var hasDate = false

    private static let hopByHop = HeaderSet(HeaderSet.hopByHop)

    /// - Parameters:
    ///   - head: the head as the upstream sent it.
    ///   - method: the request's method.
    ///   - dropping: Weir's own headers, which the upstream's would contradict; nil when the response has none.
    init(_ head: HTTPResponseHead, to method: HTTPMethod, dropping own: HeaderSet?) {
        status = head.status
        let isInterim = head.status.code < 200
        hasBody = method != .HEAD && head.status != .noContent && head.status != .notModified && !isInterim
        fields.reserveCapacity(head.headers.count + 8)
        var named: [Substring] = []
        for (name, value) in head.headers {
            if Self.hopByHop.contains(name) {
                if name.isEqualIgnoringCase("connection") {
                    named += value.split { $0 == "," || $0 == " " || $0 == "\t" }
                }
                continue
            }
            if let own, own.contains(name) { continue }
            if name.isEqualIgnoringCase("content-length") {
                // An interim answer or a 204 has no length (RFC 9110, 8.6): a lax client would wait for it.
                if head.status == .noContent || isInterim { continue }
                hasLength = true
            }
            if name.utf8.count == 4, name.isEqualIgnoringCase("date") { hasDate = true }
            fields.append((name, value))
        }
        if !named.isEmpty { drop(named) }
    }

    mutating func add(_ name: String, _ value: String) { fields.append((name, value)) }

    /// Drops the fields that Connection names, except framing. `close` names no field.
    private mutating func drop(_ names: [Substring]) {
        let kept = ["close", "keep-alive", "content-length", "content-type"]
        let dropped = names.map { $0.lowercased() }.filter { !kept.contains($0) }
        fields.removeAll { field in dropped.contains { field.0.isEqualIgnoringCase($0) } }
    }

    /// The upstream's trailers, without those that concern the connection or contradict the limits.
    static func permitted(_ trailers: HTTPHeaders, dropping own: HeaderSet) -> HTTPHeaders {
        HTTPHeaders(
            trailers.filter { !hopByHop.contains($0.name) && !own.contains($0.name) }.map { ($0.name, $0.value) })
    }
}
