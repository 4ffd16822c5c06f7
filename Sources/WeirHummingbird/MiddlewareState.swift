import Hummingbird
import Logging
import NIOCore
import Synchronization
import Weir
import WeirHTTP

/// State shared by all requests of one middleware: the policy in force, pooled objects, and how the router compares
/// paths.
final class MiddlewareState: Sendable {
    /// What a middleware applies.
    enum Source: Sendable {
        /// The whole policy.
        case policy
        /// A limit in code.
        case rule(LimitRule)
        /// A limit of the policy, attached to routes by its name.
        case named(String)

        /// The name of a route's own limit; nil for the whole policy.
        var limitName: String? {
            switch self {
            case .policy: nil
            case .rule(let rule): rule.name
            case .named(let name): name
            }
        }
    }

    let limiter: RequestLimiter
    let source: Source
    /// Nil until the first request, by which time the app has chosen its backends for metrics and traces.
    private let view = Mutex<MiddlewareView?>(nil)
    private let pool = Mutex<[PooledRequest]>([])
    /// Holds delayed requests.
    let places: SharedRoom
    /// The memory for bodies that are read before their request is decided.
    let bodyMemory: SharedRoom
    /// Decides which denials are logged.
    let sampler = DenialSampler()
    /// Whether a result-builder router ignores case. The answer is the same for all of its requests.
    private let builderCase = Atomic<BuilderCase>(.unknown)
    /// The number of first requests that are still watched for a middleware that encloses itself.
    private let watched = Atomic<Int>(64)

    private enum BuilderCase: UInt8, AtomicRepresentable { case unknown, counts, isIgnored }

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

    init(_ limiter: RequestLimiter, _ source: Source) {
        self.limiter = limiter
        self.source = source
        places = SharedRoom(most: limiter.policy.maxDelayed)
        bodyMemory = SharedRoom(most: limiter.policy.bodyMemory)
        limiter.noteMiddleware(ObjectIdentifier(self))
    }

    // MARK: The policy in force

    /// The view of the policy in force, or of the one that an enclosing request began with.
    private func currentView(within enclosing: MiddlewareRequest?) -> MiddlewareView {
        let current = view.withLock { view in
            if let view, view.generation == limiter.generation, view.exact.hasCurrentKeys { return view }
            // Instances that share a store learn its secret when they first reach it.
            if !limiter.current.hasCurrentKeys { limiter.renewKeys() }
            let generation = limiter.generation
            let new = makeView(of: limiter.current, generation: generation)
            view = new
            return new
        }
        guard let enclosing, enclosing.view.root !== current.root, enclosing.view.root.isRelated(to: limiter) else {
            return current
        }
        return makeView(of: enclosing.view.root, generation: enclosing.view.generation)
    }

    private func makeView(of root: RequestLimiter, generation: Int) -> MiddlewareView {
        let own: RequestLimiter?
        switch source {
        case .policy: own = root
        case .rule(let rule): own = try? root.routeLimiter(rule)
        case .named(let name): own = try? root.routeLimiter(root.attachable(name))
        }
        // A policy is put in force only if its routes' own limits can be made.
        return MiddlewareView(root: root, limiter: own ?? root, generation: generation)
    }

    func begin(_ request: Request, in context: some RequestContext, isShown: Bool) -> MiddlewareRequest {
        let template = context.endpointPath
        // A handler in a context made of this one finds its limits as those of the enclosing request.
        let mayNest = isShown || limiter.hasRouteLimits || isWatched
        let enclosing = mayNest ? Self.enclosing?.request : nil
        let view = currentView(within: enclosing)
        var limiter = view.exact
        if let caseless = view.caseless, ignoresCase(template, context) { limiter = caseless }
        let pooled = pool.withLock { $0.popLast() } ?? PooledRequest(LimitedRequest(limiter))
        let limited = MiddlewareRequest(
            self, view, pooled, limiter: limiter, route: route(request, template), enclosing: enclosing,
            mayNest: mayNest)
        if limiter.hasFreeRoutes { limited.isFree = limiter.isFree(request.method.rawValue, template) }
        return limited
    }

    /// Whether this is one of the first requests.
    private var isWatched: Bool {
        guard watched.load(ordering: .relaxed) > 0 else { return false }
        watched.wrappingSubtract(1, ordering: .relaxed)
        return true
    }

    /// Goes on watching: the middleware was found to enclose itself.
    func noteNested() { watched.store(.max, ordering: .relaxed) }

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
