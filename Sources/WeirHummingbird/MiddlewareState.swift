import HTTPTypes
import Hummingbird
import NIOCore
import Synchronization
import Weir
import WeirHTTP

/// What all requests of one middleware share: the limiter in force, pooled objects, and how the router compares paths.
final class MiddlewareState: Sendable {
    private struct Limiters {
        var exact: RequestLimiter
        /// The same for a router that ignores case.
        var caseless: RequestLimiter?

        init(_ limiter: RequestLimiter) {
            exact = limiter
            // Its policy is the limiter's, which was checked.
            caseless = limiter.hasPaths ? try? limiter.ignoringCase() : nil
        }
    }

    private let limiters: Mutex<Limiters>
    private let pool = Mutex<[PooledRequest]>([])
    /// Where delayed requests wait.
    let places: DelayPlaces
    /// The names of ``LimitHeader``s, made once, because each takes an allocation or two.
    private let fieldNames: [HTTPField.Name?]
    /// The names that are written on every limited response.
    private let ownNames: [HTTPField.Name]
    /// A bit for the length of each, modulo 64.
    private let ownLengths: UInt64
    /// Whether a result-builder router ignores case, which is the same for all of its requests.
    private let builderCase = Atomic<BuilderCase>(.unknown)

    private enum BuilderCase: UInt8, AtomicRepresentable { case unknown, counts, isIgnored }

    /// Headers that no handler may see: secrets, and what only a trusted proxy may say.
    private let secretNames: [HTTPField.Name]
    private let trustedNames: [HTTPField.Name]

    /// The request of the next middleware around, of any policy, for the middlewares inside it.
    @TaskLocal static var enclosing: EnclosingRequest?

    /// A request while its handler runs. A task that the handler leaves behind must not keep it.
    final class EnclosingRequest: Sendable {
        private let value: Mutex<MiddlewareRequest?>

        init(_ request: MiddlewareRequest) { value = Mutex(request) }

        var request: MiddlewareRequest? { value.withLock { $0 } }

        func leave() { value.withLock { $0 = nil } }
    }

    private static let nobody = IPAddress(bits: 0, isIPv4: false)

    /// How many pooled objects are kept.
    private static let mostPooled = 1024

    init(_ limiter: RequestLimiter) {
        limiters = Mutex(Limiters(limiter))
        places = DelayPlaces(most: limiter.policy.server.maxDelayed)
        let settings = limiter.policy.headers
        fieldNames = LimitHeader.allCases.map { HTTPField.Name(settings.name(of: $0)) }
        ownNames = settings.names.compactMap { HTTPField.Name($0) }
        ownLengths = ownNames.reduce(0) { $0 | 1 << ($1.canonicalName.utf8.count & 63) }
        secretNames = limiter.strippedHeaders.compactMap { HTTPField.Name($0) }
        trustedNames = limiter.trustedHeaders.compactMap { HTTPField.Name($0) }
        limiter.noteMiddleware()
    }

    /// The limiters in force. They are made again when the store's secret for keys changes, as it does when a store that
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

    /// The address of a peer; peers without one share an address.
    func address(_ peer: SocketAddress?) -> IPAddress {
        guard let peer else { return Self.nobody }
        // Read the bytes where the system keeps them: going by way of text takes a hundredth of a request.
        switch peer {
        case .v4(let peer):
            return withUnsafeBytes(of: peer.address) { bytes in
                IPAddress(bits: UInt128(bytes[4..<8].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }), isIPv4: true)
            }
        case .v6(let peer):
            return withUnsafeBytes(of: peer.address) { bytes in
                IPAddress(bits: bytes[8..<24].reduce(UInt128(0)) { $0 << 8 | UInt128($1) }, isIPv4: false)
            }
        case .unixDomainSocket: return Self.nobody
        }
    }

    /// Whether a request may have to be changed for ``withoutSecrets(_:peer:)``.
    var hidesHeaders: Bool { !secretNames.isEmpty || !trustedNames.isEmpty }

    /// The request as a handler may see it; nil when it may see all of it.
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

    /// The route, and the path as the router takes it: it resolves no dots and decodes nothing.
    private func route(_ request: Request, _ template: String?) -> MatchedRoute {
        let path = request.uri.path
        return MatchedRoute(template: template, path: path.utf8.hasEmptySegments ? path.routed : path)
    }

    /// Whether the router ignores the case of paths.
    ///
    /// A router that does keeps all templates in lower case, so a rule in upper case that fits such a template is meant
    /// for it. A result-builder router says so in the context.
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

    /// Removes headers that a handler wrote under our names.
    func removeOwn(from headers: inout HTTPFields) {
        for index in headers.indices.reversed() {
            let name = headers[index].name
            // Comparing lengths costs a tenth of comparing names, which mostly differ.
            if ownLengths & 1 << (name.canonicalName.utf8.count & 63) != 0, ownNames.contains(name) {
                headers.remove(at: index)
            }
        }
    }

    /// Whether headers have some under our names.
    func hasOwn(_ headers: HTTPFields) -> Bool { ownNames.isEmpty || ownNames.contains { headers.contains($0) } }

    /// A header field; nil when its name is invalid, which the policy's check excludes.
    func field(_ header: LimitHeader, _ value: String, _ request: PooledRequest) -> HTTPField? {
        let place = header.rawValue
        // Mostly the same as this object wrote last, whose value need not be checked again.
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

/// A request's state, kept for the next request.
///
/// Sendable, because it belongs to one request at a time, which uses it from one task after another: the handler's, then
/// the one that writes the body.
final class PooledRequest: @unchecked Sendable {
    let value: LimitedRequest
    /// The fields that it wrote last, as far as most requests have the same.
    fileprivate var kept = [HTTPField?](repeating: nil, count: LimitHeader.allCases.count)

    init(_ value: LimitedRequest) { self.value = value }
}

extension RequestContext {
    /// Whether a result-builder router ignores case; nil for other contexts.
    ///
    /// Read by reflection, because the router doesn't show it, and an app without that router shouldn't build it.
    fileprivate var builderIgnoresCase: Bool? {
        let own = Mirror(reflecting: self).children.first { $0.label == "routerContext" }
        guard let own else { return nil }
        return Mirror(reflecting: own.value).children.first { $0.label == "caseInsensitive" }?.value as? Bool
    }
}

extension String {
    /// A path as Hummingbird's routers split it: without empty segments.
    fileprivate var routed: String { "/" + split(separator: "/").joined(separator: "/") }
}

extension String.UTF8View {
    fileprivate var hasEmptySegments: Bool {
        // A contiguous string takes a third of the time.
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
