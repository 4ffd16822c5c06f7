import HTTPTypes
import Hummingbird
import NIOCore
import Synchronization
import Weir
import WeirHTTP

/// State shared by all requests of one middleware: the limiter in force, pooled objects, and how the router compares
/// paths.
final class MiddlewareState: Sendable {
    private struct Limiters {
        var exact: RequestLimiter
        /// The same for a router that ignores case.
        var caseless: RequestLimiter?

        init(_ limiter: RequestLimiter) {
            exact = limiter
            // This can't throw: the policy passed its checks when the limiter was made.
            caseless = limiter.hasPaths ? try? limiter.ignoringCase() : nil
        }
    }

    private let limiters: Mutex<Limiters>
    private let pool = Mutex<[PooledRequest]>([])
    /// Holds delayed requests.
    let places: SharedRoom
    /// The memory for bodies that are read before their request is decided.
    let bodyMemory: SharedRoom
    /// The field names of ``LimitHeader``s. They are made once, because making one allocates.
    private let fieldNames: [HTTPField.Name?]
    /// The names of the fields on every limited response.
    private let ownNames: [HTTPField.Name]
    /// One bit for the length of each name, modulo 64.
    private let ownLengths: UInt64
    /// Whether a result-builder router ignores case. The answer is the same for all of its requests.
    private let builderCase = Atomic<BuilderCase>(.unknown)

    private enum BuilderCase: UInt8, AtomicRepresentable { case unknown, counts, isIgnored }

    /// Headers that handlers must not see: secrets, and headers that only trusted proxies may send.
    private let secretNames: [HTTPField.Name]
    private let trustedNames: [HTTPField.Name]

    /// The request of the enclosing middleware, of any policy, for the middlewares nested in it.
    @TaskLocal static var enclosing: EnclosingRequest?

    /// A request while its handler runs. Tasks that outlive the handler must not keep it alive.
    final class EnclosingRequest: Sendable {
        private let value: Mutex<MiddlewareRequest?>

        init(_ request: MiddlewareRequest) { value = Mutex(request) }

        var request: MiddlewareRequest? { value.withLock { $0 } }

        func leave() { value.withLock { $0 = nil } }
    }

    /// The largest number of pooled objects.
    private static let mostPooled = 1024

    init(_ limiter: RequestLimiter) {
        limiters = Mutex(Limiters(limiter))
        places = SharedRoom(most: limiter.policy.maxDelayed)
        bodyMemory = SharedRoom(most: limiter.policy.bodyMemory)
        let settings = limiter.policy.headers
        fieldNames = LimitHeader.allCases.map { HTTPField.Name(settings.name(of: $0)) }
        ownNames = settings.names.compactMap { HTTPField.Name($0) }
        ownLengths = ownNames.reduce(0) { $0 | 1 << ($1.canonicalName.utf8.count & 63) }
        secretNames = limiter.strippedHeaders.compactMap { HTTPField.Name($0) }
        trustedNames = limiter.trustedHeaders.compactMap { HTTPField.Name($0) }
        limiter.noteMiddleware()
    }

    /// The limiters in force. They are made again when the store's key secret changes, for example when a store that
    /// was down at start is reached.
    private func current() -> Limiters {
        limiters.withLock { limiters in
            if !limiters.exact.hasCurrentKeys, let renewed = try? limiters.exact.withNewKeys() {
                limiters = Limiters(renewed)
            }
            return limiters
        }
    }

    func begin(_ request: Request, in context: some RequestContext) -> MiddlewareRequest {
        let template = context.endpointPath
        let limiters = current()
        var limiter = limiters.exact
        if let caseless = limiters.caseless, ignoresCase(template, context) { limiter = caseless }
        let pooled = pool.withLock { $0.popLast() } ?? PooledRequest(LimitedRequest(limiter))
        return MiddlewareRequest(self, pooled, limiter: limiter, route: route(request, template))
    }

    func takeBack(_ request: PooledRequest) {
        request.value.clear()
        pool.withLock { if $0.count < Self.mostPooled { $0.append(request) } }
    }

    // MARK: Identify

    /// The address of a peer. Peers without one share an address.
    func address(_ peer: SocketAddress?) -> IPAddress {
        guard let peer else { return .unixSocket }
        // Read the bytes in place: converting them to text and back takes 1% of a request's time.
        switch peer {
        case .v4(let peer):
            return withUnsafeBytes(of: peer.address) { bytes in
                IPAddress(bits: UInt128(bytes[4..<8].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }), isIPv4: true)
            }
        case .v6(let peer):
            return withUnsafeBytes(of: peer.address) { bytes in
                IPAddress(bits: bytes[8..<24].reduce(UInt128(0)) { $0 << 8 | UInt128($1) }, isIPv4: false)
            }
        case .unixDomainSocket: return .unixSocket
        }
    }

    /// Whether ``withoutSecrets(_:peer:)`` may have to change a request.
    var hidesHeaders: Bool { !secretNames.isEmpty || !trustedNames.isEmpty }

    /// The request without the headers that its handler must not see; nil when there are none to remove.
    func withoutSecrets(_ request: Request, peer: IPAddress) -> Request? {
        guard hidesHeaders else { return nil }
        var names = secretNames
        if !current().exact.isTrusted(peer) { names += trustedNames }
        names = names.filter { request.headers.contains($0) }
        if names.isEmpty { return nil }
        var head = request.head
        for name in names { head.headerFields[name] = nil }
        return Request(head: head, body: request.body)
    }

    // MARK: Match

    /// The route, and the path as the router reads it: without resolving dots or decoding anything.
    private func route(_ request: Request, _ template: String?) -> MatchedRoute {
        let path = request.uri.path
        return MatchedRoute(template: template, path: path.utf8.hasEmptySegments ? path.routed : path)
    }

    /// Whether the router ignores the case of paths.
    ///
    /// A router that ignores case keeps all templates in lower case, so a rule in upper case that matches such a
    /// template is meant for it. A result-builder router exposes its setting in the context.
    private func ignoresCase(_ template: String?, _ context: some RequestContext) -> Bool {
        switch builderCase.load(ordering: .relaxed) {
        case .counts: return template?.mayBeCaseless ?? false
        case .isIgnored: return true
        case .unknown:
            let isCaseless = context.builderIgnoresCase == true
            builderCase.store(isCaseless ? .isIgnored : .counts, ordering: .relaxed)
            return ignoresCase(template, context)
        }
    }

    // MARK: Answer

    /// Removes headers that a handler wrote under Weir's names.
    func removeOwn(from headers: inout HTTPFields) {
        for index in headers.indices.reversed() {
            let name = headers[index].name
            // Lengths mostly differ, and comparing them costs a tenth of comparing names.
            if ownLengths & 1 << (name.canonicalName.utf8.count & 63) != 0, ownNames.contains(name) {
                headers.remove(at: index)
            }
        }
    }

    /// Whether any of the headers has one of Weir's names.
    func hasOwn(_ headers: HTTPFields) -> Bool { ownNames.isEmpty || ownNames.contains { headers.contains($0) } }

    /// A header field; nil when its name is invalid, which the policy's checks rule out.
    func field(_ header: LimitHeader, _ value: String, _ request: PooledRequest) -> HTTPField? {
        let place = header.rawValue
        // These values rarely change between requests; a kept field needs no second validation.
        let isOfPolicy =
            switch header {
            case .rateLimitPolicy, .limit: true
            case .rateLimit, .remaining, .reset, .retryAfter: false
            }
        if isOfPolicy, let kept = request.kept[place], kept.value == value { return kept }
        guard let name = fieldNames[place] else { return nil }
        let field = HTTPField(name: name, value: value)
        if isOfPolicy { request.kept[place] = field }
        return field
    }
}

/// A request's state, reused by the next request.
///
/// It is Sendable because it belongs to one request at a time, whose tasks use it in turn: first the handler's, then
/// the one that writes the body.
final class PooledRequest: @unchecked Sendable {
    let value: LimitedRequest
    /// The last fields written that most requests have in common.
    fileprivate var kept = [HTTPField?](repeating: nil, count: LimitHeader.allCases.count)

    init(_ value: LimitedRequest) { self.value = value }
}

extension RequestContext {
    /// Whether a result-builder router ignores case; nil for other contexts.
    ///
    /// It is read by reflection, because the router doesn't expose it and apps without that router shouldn't have to
    /// build it.
    fileprivate var builderIgnoresCase: Bool? {
        let own = Mirror(reflecting: self).children.first { $0.label == "routerContext" }
        guard let own else { return nil }
        return Mirror(reflecting: own.value).children.first { $0.label == "caseInsensitive" }?.value as? Bool
    }
}

extension String {
    /// The path as Hummingbird's routers split it: without empty segments.
    fileprivate var routed: String { "/" + split(separator: "/").joined(separator: "/") }
}

extension String.UTF8View {
    fileprivate var hasEmptySegments: Bool {
        // Searching contiguous storage takes a third of the time.
        func look(_ bytes: some Collection<UInt8>) -> Bool {
            var previous: UInt8 = 0
            for byte in bytes {
                if byte == UInt8(ascii: "/"), previous == byte { return true }
                previous = byte
            }
            return previous == UInt8(ascii: "/") && bytes.count > 1
        }
        return withContiguousStorageIfAvailable { look($0) } ?? look(self)
    }
}
