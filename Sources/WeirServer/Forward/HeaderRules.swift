import NIOHTTP1
import WeirHTTP

/// Which headers are not passed on, found by length first, since nearly none of a request's names has such a length.
struct HeaderRules: Sendable {
    private var byLength: [[[UInt8]]] = []
    /// One bit for each length below 64 that some name has.
    private var lengths: UInt64 = 0

    /// Those that concern one connection only (RFC 9110, 7.6.1), and framing, which is written anew.
    static let hopByHop = [
        "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "trailer",
        "transfer-encoding", "upgrade",
    ]

    init(_ names: [String]) {
        for name in names {
            let bytes = Array(name.utf8).map(\.asciiLowercased)
            // The longest that the policy can name is far longer than any header of this list.
            while byLength.count <= bytes.count { byLength.append([]) }
            if bytes.count < 64 { lengths |= 1 << UInt64(bytes.count) }
            if !byLength[bytes.count].contains(bytes) { byLength[bytes.count].append(bytes) }
        }
    }

    @inline(__always)
    func contains(_ name: String) -> Bool {
        let length = name.utf8.count
        if length < 64 {
            guard lengths & 1 << UInt64(truncatingIfNeeded: length) != 0 else { return false }
        } else if length >= byLength.count {
            return false
        }
        return isListed(name)
    }

    private func isListed(_ name: String) -> Bool {
        var name = name
        return name.withUTF8 { bytes in
            candidates: for candidate in byLength[bytes.count] {
                for index in 0..<bytes.count {
                    // An underscore stands for a hyphen to CGI, WSGI and their like, so it must not slip past.
                    let byte = bytes[index] == UInt8(ascii: "_") ? UInt8(ascii: "-") : bytes[index].asciiLowercased
                    if byte != candidate[index] { continue candidates }
                }
                return true
            }
            return false
        }
    }
}

/// Makes the header that is forwarded out of the header that came.
struct ForwardedHeader: Sendable {
    private let always: HeaderRules
    private let fromUntrusted: HeaderRules
    /// What the policy reads: a spelling with underscores, which it doesn't read, must not reach who takes it for the same.
    private let underscored: HeaderRules
    private let addressHeader: AddressHeader

    private static let methodOverrides = ["x-http-method-override", "x-http-method", "x-method-override"]

    init(_ limiter: RequestLimiter) {
        addressHeader = limiter.policy.addressHeader
        let other = addressHeader == .xForwardedFor ? "forwarded" : "x-forwarded-for"
        var always = HeaderRules.hopByHop + ["expect", other, addressHeader.rawValue] + limiter.strippedHeaders
        // A rule that looks at the method must not be passed by a header that changes it afterwards.
        if limiter.matchesMethods { always += Self.methodOverrides }
        self.always = HeaderRules(always)
        underscored = HeaderRules(limiter.readHeaders)
        fromUntrusted = HeaderRules(
            always + ["x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-real-ip"] + limiter.trustedHeaders
        )
    }

    /// - Parameters:
    ///   - head: as it came.
    ///   - target: the path that was matched.
    ///   - peer: who sent it.
    ///   - dropsCoding: whether the response must not be compressed, because a cost is in it.
    func head(
        _ head: HTTPRequestHead, target: String, host: String?, upstream: String, peer: PeerAddress, isTrusted: Bool,
        dropsCoding: Bool
    ) -> HTTPRequestHead {
        let rules = isTrusted ? always : fromUntrusted
        var fields: [(String, String)] = []
        fields.reserveCapacity(head.headers.count + 4)
        var named: [Substring] = []
        var isChunked = false
        var hasProto = false
        var hasHost = false
        var forwarded: [String] = []
        for (name, value) in head.headers {
            if rules.contains(name) {
                if name.isEqualIgnoringCase("connection") {
                    named += value.split { $0 == "," || $0 == " " || $0 == "\t" }
                } else if name.isEqualIgnoringCase("transfer-encoding") {
                    isChunked = true
                } else if isTrusted, name.isEqualIgnoringCase(addressHeader.rawValue) {
                    forwarded.append(value)
                }
                continue
            }
            if underscored.contains(name), name.utf8.contains(UInt8(ascii: "_")) { continue }
            if let host, name.isEqualIgnoringCase("host") {
                fields.append((name, host))
                continue
            }
            if dropsCoding, name.isEqualIgnoringCase("accept-encoding") { continue }
            if isTrusted {
                if name.isEqualIgnoringCase("x-forwarded-proto") { hasProto = true }
                if name.isEqualIgnoringCase("x-forwarded-host") { hasHost = true }
            }
            fields.append((name, value))
        }
        // The upstream is always asked in HTTP/1.1, which must name a host.
        if !fields.contains(where: { $0.0.isEqualIgnoringCase("host") }) { fields.append(("Host", host ?? upstream)) }
        if !named.isEmpty { drop(named, from: &fields) }
        // Ours are added after what Connection names is dropped, so that nobody can have them dropped.
        switch addressHeader {
        case .xForwardedFor:
            fields.append(("X-Forwarded-For", (forwarded + [peer.text]).joined(separator: ", ")))
        case .forwarded:
            let element = peer.address.isIPv4 ? "for=\(peer.text)" : "for=\"[\(peer.text)]\""
            fields.append(("Forwarded", (forwarded + [element]).joined(separator: ", ")))
        }
        if !hasProto { fields.append(("X-Forwarded-Proto", "http")) }
        if !hasHost, let host = host ?? head.headers.first(name: "host") { fields.append(("X-Forwarded-Host", host)) }
        if isChunked { fields.append(("Transfer-Encoding", "chunked")) }
        return HTTPRequestHead(version: .http1_1, method: head.method, uri: target, headers: HTTPHeaders(fields))
    }

    /// Drops what Connection names, but never what frames or routes the request.
    private func drop(_ names: [Substring], from fields: inout [(String, String)]) {
        let kept = ["host", "content-length", "content-type", "authorization", "cookie"]
        let dropped = names.map { $0.lowercased() }.filter { name in
            !kept.contains(name) && name != "close" && name != "keep-alive"
        }
        guard !dropped.isEmpty else { return }
        fields.removeAll { field in dropped.contains { field.0.isEqualIgnoringCase($0) } }
    }
}

/// The other end of a connection.
struct PeerAddress: Sendable {
    var address: IPAddress
    var text: String

    init(_ address: IPAddress) {
        self.address = address
        text = address.description
    }
}
