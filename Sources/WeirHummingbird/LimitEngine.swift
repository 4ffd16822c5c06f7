import HTTPTypes
import Hummingbird
import NIOCore
import Synchronization
import Weir
import WeirHTTP

/// What the middleware of one limiter shares: objects that are used again, and how the router compares paths.
final class LimitEngine: Sendable {
    private struct Limiters {
        var exact: RequestLimiter
        /// The same for a router that doesn't regard case.
        var caseless: RequestLimiter?

        init(_ limiter: RequestLimiter) {
            exact = limiter
            // Its policy is the limiter's, which was made.
            caseless = limiter.hasPaths ? try? limiter.ignoringCase() : nil
        }
    }

    private let limiters: Mutex<Limiters>
    private let pool = Mutex<[PooledRequest]>([])
    private let delayed = Atomic<Int>(0)
    private let mostDelayed: Int
    /// The names of ``LimitHeader``s, made once, for that takes an allocation or two each.
    private let fieldNames: [HTTPField.Name?]
    /// Those that are written on every limited response.
    private let ownNames: [HTTPField.Name]
    /// A bit for each length of them, modulo 64.
    private let ownLengths: UInt64
    /// What a result-builder router says of case, which is the same for all of its requests: 0 when not looked at, 1 when
    /// case counts or nothing is said, 2 when it doesn't count.
    private let builderCase = Atomic<UInt8>(0)

    /// Headers that no handler is to see: secrets, and what only a trusted proxy may say.
    private let secretNames: [HTTPField.Name]
    private let trustedNames: [HTTPField.Name]

    /// The exchange of the next middleware around, of whatever policy, that limits in code may be inside of.
    @TaskLocal static var enclosing: Enclosing?

    /// An exchange while the handler runs: a task that the handler leaves behind must not keep it.
    final class Enclosing: Sendable {
        private let value: Mutex<LimitExchange?>

        init(_ exchange: LimitExchange) { value = Mutex(exchange) }

        var exchange: LimitExchange? { value.withLock { $0 } }

        func leave() { value.withLock { $0 = nil } }
    }

    private static let nobody = IPAddress(bits: 0, isIPv4: false)

    /// How many objects are kept for later requests.
    private static let mostPooled = 1024

    init(_ limiter: RequestLimiter) {
        limiters = Mutex(Limiters(limiter))
        mostDelayed = limiter.policy.server.maxDelayed
        let settings = limiter.policy.headers
        fieldNames = LimitHeader.allCases.map { HTTPField.Name(settings.name(of: $0)) }
        ownNames = settings.names.compactMap { HTTPField.Name($0) }
        ownLengths = ownNames.reduce(0) { $0 | 1 << ($1.canonicalName.utf8.count & 63) }
        secretNames = limiter.strippedHeaders.compactMap { HTTPField.Name($0) }
        trustedNames = limiter.trustedHeaders.compactMap { HTTPField.Name($0) }
        limiter.noteMiddleware()
    }

    /// The limiters in force. They are made anew when the store's secret for keys has become another, as it does when a
    /// store that wasn't there at start is reached.
    private func current() -> Limiters {
        limiters.withLock { limiters in
            if !limiters.exact.hasCurrentKeys, let renewed = try? limiters.exact.withNewKeys() {
                limiters = Limiters(renewed)
            }
            return limiters
        }
    }

    func exchange(for request: Request, in context: some RequestContext) -> LimitExchange {
        let template = context.endpointPath
        let limiters = current()
        var limiter = limiters.exact
        if let caseless = limiters.caseless, ignoresCase(template, context) { limiter = caseless }
        let pooled = pool.withLock { $0.popLast() } ?? PooledRequest(LimitedRequest(limiter))
        return LimitExchange(self, pooled, limiter: limiter, route: route(request, template))
    }

    func takeBack(_ request: PooledRequest) {
        request.value.clear()
        pool.withLock { if $0.count < Self.mostPooled { $0.append(request) } }
    }

    // MARK: Identify

    /// The address of a peer; one that isn't known is nobody's.
    func address(_ peer: SocketAddress?) -> IPAddress {
        guard let peer else { return Self.nobody }
        // The bytes where the system keeps them: by way of text it takes a hundredth of a request.
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

    /// The request as a handler may see it; nil when that is as it came.
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

    /// Whether the router compares paths without regard to case.
    ///
    /// Of a router that does, all templates are in lower case; a rule in upper case that fits such a template is meant for
    /// it. A result-builder router says it in the context.
    private func ignoresCase(_ template: String?, _ context: some RequestContext) -> Bool {
        switch builderCase.load(ordering: .relaxed) {
        case 1: return template?.mayBeCaseless ?? false
        case 2: return true
        default:
            let isCaseless = context.builderIgnoresCase == true
            builderCase.store(isCaseless ? 2 : 1, ordering: .relaxed)
            return ignoresCase(template, context)
        }
    }

    // MARK: Answer

    /// Takes headers out that a handler wrote under the names of ours.
    func removeOwn(from headers: inout HTTPFields) {
        for index in headers.indices.reversed() {
            let name = headers[index].name
            // To compare a length costs a tenth of comparing names, which are all different as a rule.
            if ownLengths & 1 << (name.canonicalName.utf8.count & 63) != 0, ownNames.contains(name) {
                headers.remove(at: index)
            }
        }
    }

    /// Whether headers have some under the names of ours.
    func hasOwn(_ headers: HTTPFields) -> Bool { ownNames.isEmpty || ownNames.contains { headers.contains($0) } }

    /// A header field; nil when its name is none, for which the policy was checked.
    func field(_ header: LimitHeader, _ value: String, _ request: PooledRequest) -> HTTPField? {
        let place = header.rawValue
        // Mostly what the same object wrote last, which need not be checked again for what is legal.
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

    /// Holds a place among the delayed requests; false when there is none.
    func beginDelay() -> Bool {
        if delayed.wrappingAdd(1, ordering: .relaxed).newValue <= mostDelayed { return true }
        endDelay()
        return false
    }

    func endDelay() { delayed.wrappingSubtract(1, ordering: .relaxed) }
}

/// A request's state, kept for the next request.
///
/// Sendable, because it belongs to one exchange at a time, which uses it from one task after another: the handler's, then
/// the one that writes the body.
final class PooledRequest: @unchecked Sendable {
    let value: LimitedRequest
    /// The fields that it wrote last, of those that say the same for most requests.
    fileprivate var kept = [HTTPField?](repeating: nil, count: LimitHeader.allCases.count)

    init(_ value: LimitedRequest) { self.value = value }
}

extension RequestContext {
    /// What the context of a result-builder router says of case; nil for other contexts.
    ///
    /// By reflection, because the router shows it to nobody, and an app that doesn't use that router should not build it.
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
