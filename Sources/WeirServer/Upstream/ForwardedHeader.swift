import NIOHTTP1
import WeirHTTP

/// Makes the upstream request's header from the client's.
struct ForwardedHeader: Sendable {
    private let always: HeaderSet
    private let fromUntrusted: HeaderSet
    /// The headers that the policy reads. It doesn't read their spellings with other marks for hyphens, such as
    /// underscores, so these must not reach an upstream that treats them as one.
    private let read: HeaderSet
    private let readNames: [String]
    private let addressHeader: AddressHeader

    /// The headers by which a client could get a response whose cost can't be read: compressed, or a part of it.
    private static let spoilers = HeaderSet(["accept-encoding", "range", "if-range"])
    private static let methodOverrides = ["x-http-method-override", "x-http-method", "x-method-override"]

    /// The headers by which a proxy says how it was asked. Frameworks believe each of them.
    private static let origins = [
        "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-real-ip", "x-forwarded-ssl",
        "x-forwarded-scheme", "x-forwarded-protocol", "x-url-scheme", "x-scheme", "front-end-https",
        "x-original-url", "x-rewrite-url",
    ]

    init(_ limiter: RequestLimiter) {
        addressHeader = limiter.policy.addressHeader
        let other = addressHeader == .xForwardedFor ? "forwarded" : "x-forwarded-for"
        var always = HeaderSet.hopByHop + ["expect", other, addressHeader.name] + limiter.strippedHeaders
        // A header that overrides the method must not evade a rule on the method.
        if limiter.matchesMethods { always += Self.methodOverrides }
        self.always = HeaderSet(always)
        readNames = limiter.readHeaders
        read = HeaderSet(readNames)
        fromUntrusted = HeaderSet(
            always + Self.origins + limiter.trustedHeaders
        )
    }

    /// - Parameters:
    ///   - head: the head as received.
    ///   - framing: how the body is framed.
    ///   - target: the target to request from the upstream.
    ///   - host: the authority of an absolute target, which overrides the Host header.
    ///   - upstream: the upstream's own authority, for a request that names no host.
    ///   - peer: the sender.
    ///   - isTrusted: whether the sender is a trusted proxy.
    ///   - dropsCoding: whether the response must be whole and uncompressed, because a cost is in it.
    /// - Returns: the upstream's head, and whether the sender named addresses that it isn't believed.
    func head(
        _ head: HTTPRequestHead, framing: BodyFraming, target: String, host: String?, upstream: String, peer: Peer,
        isTrusted: Bool, dropsCoding: Bool
    ) -> (head: HTTPRequestHead, ignoresAddress: Bool) {
        let rules = isTrusted ? always : fromUntrusted
        var fields: [(String, String)] = []
        fields.reserveCapacity(head.headers.count + 4)
        var named: [Substring] = []
        var hasProto = false
        var hasHost = false
        var forwarded: [String] = []
        var ignoresAddress = false
        for (name, value) in head.headers {
            if rules.contains(name) {
                if name.isEqualIgnoringCase("connection") {
                    named += value.split { $0 == "," || $0 == " " || $0 == "\t" }
                } else if name.isEqualIgnoringCase(addressHeader.name) {
                    guard isTrusted else {
                        ignoresAddress = true
                        continue
                    }
                    forwarded += value.split(separator: ",").map { String($0).trimmingBlanks() }.filter { !$0.isEmpty }
                }
                continue
            }
            if read.contains(name), !readNames.contains(where: { name.isEqualIgnoringCase($0) }) { continue }
            if let host, name.isEqualIgnoringCase("host") {
                fields.append((name, host))
                continue
            }
            if dropsCoding, Self.spoilers.contains(name) { continue }
            if isTrusted {
                if name.isEqualIgnoringCase("x-forwarded-proto") { hasProto = true }
                if name.isEqualIgnoringCase("x-forwarded-host") { hasHost = true }
            }
            fields.append((name, value))
        }
        // The request to the upstream is always HTTP/1.1, which requires a Host header.
        if !fields.contains(where: { $0.0.isEqualIgnoringCase("host") }) { fields.append(("Host", host ?? upstream)) }
        if !named.isEmpty { drop(named, from: &fields) }
        // Weir's own fields are added last, so that no client can drop them by naming them in Connection.
        if let hop = hop(peer) { forwarded.append(hop) }
        if !forwarded.isEmpty {
            let name = addressHeader == .xForwardedFor ? "X-Forwarded-For" : "Forwarded"
            fields.append((name, forwarded.joined(separator: ", ")))
        }
        if !hasProto { fields.append(("X-Forwarded-Proto", peer.scheme)) }
        if !hasHost, let host = host ?? head.headers.first(name: "host") { fields.append(("X-Forwarded-Host", host)) }
        if framing == .chunked { fields.append(("Transfer-Encoding", "chunked")) }
        let head = HTTPRequestHead(
            version: .http1_1, method: head.method, uri: target, headers: HTTPHeaders(fields))
        return (head, ignoresAddress)
    }

    /// The peer as an element of the address header.
    private func hop(_ peer: Peer) -> String? {
        guard let text = peer.text, addressHeader == .forwarded else { return peer.text }
        return peer.address.isIPv4 ? "for=\(text)" : "for=\"[\(text)]\""
    }

    /// Drops the fields that Connection names, except those that frame or route the request.
    private func drop(_ names: [Substring], from fields: inout [(String, String)]) {
        let kept = ["host", "content-length", "content-type", "authorization", "cookie"]
        let dropped = names.map { $0.lowercased() }.filter { name in
            !kept.contains(name) && name != "close" && name != "keep-alive"
        }
        guard !dropped.isEmpty else { return }
        fields.removeAll { field in dropped.contains { field.0.isEqualIgnoringCase($0) } }
    }
}
