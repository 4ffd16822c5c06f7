import HTTPTypes
import Tracing
import Weir
import WeirHTTP

/// What one version of the policy means for a middleware. A request keeps the one that it began with.
final class MiddlewareView: Sendable {
    /// The limiter of the whole policy.
    let root: RequestLimiter
    let generation: Int
    /// The limiter that the middleware applies: the whole policy, or a route's own limit.
    let exact: RequestLimiter
    /// The same for a router that ignores case; nil when no rule looks at the path.
    let caseless: RequestLimiter?
    /// The field names of ``LimitHeader``s. They are made once, because making one allocates.
    private let fieldNames: [HTTPField.Name?]
    /// The names of the fields on every limited response.
    private let ownNames: [HTTPField.Name]
    /// One bit for the length of each name, modulo 64.
    private let ownLengths: UInt64
    /// Headers that handlers must not see: secrets, and headers that only trusted proxies may send.
    private let secretNames: [HTTPField.Name]
    private let trustedNames: [HTTPField.Name]
    /// Nil when nobody collects metrics.
    let metrics: RequestMetrics?
    /// Whether anybody collects spans.
    let isTraced: Bool
    /// Whether any limit is in shadow mode, so that its denials are logged.
    let hasShadow: Bool

    /// Whether the outcome of each limit is looked at, even if the request passes.
    var looksAtOutcomes: Bool { metrics != nil || hasShadow }
    /// Whether a request that passes needs more than its headers.
    var needsMore: Bool { looksAtOutcomes || hidesHeaders }

    /// - Parameters:
    ///   - root: the limiter of the whole policy.
    ///   - limiter: the limiter that the middleware applies.
    ///   - generation: the version of the policy.
    init(root: RequestLimiter, limiter: RequestLimiter, generation: Int) {
        self.root = root
        self.generation = generation
        exact = limiter
        // This can't throw: the policy passed its checks when the limiter was made.
        caseless = limiter.hasPaths ? try? limiter.ignoringCase() : nil
        let settings = limiter.policy.headers
        fieldNames = LimitHeader.allCases.map { HTTPField.Name(settings.name(of: $0)) }
        ownNames = settings.names.compactMap { HTTPField.Name($0) }
        ownLengths = ownNames.reduce(0) { $0 | 1 << ($1.canonicalName.utf8.count & 63) }
        secretNames = limiter.strippedHeaders.compactMap { HTTPField.Name($0) }
        trustedNames = limiter.trustedHeaders.compactMap { HTTPField.Name($0) }
        metrics = RequestMetrics(limits: limiter.limitNames, of: root.limitNames)
        isTraced = !(InstrumentationSystem.tracer is NoOpTracer)
        hasShadow = limiter.policy.limits.contains { $0.mode == .shadow }
    }

    /// Whether ``withoutSecrets(_:peer:)`` may have to change a request.
    var hidesHeaders: Bool { !secretNames.isEmpty || !trustedNames.isEmpty }

    /// The head without the headers that its handler must not see; nil when there are none to remove.
    func withoutSecrets(_ head: HTTPRequest, peer: IPAddress) -> HTTPRequest? {
        guard hidesHeaders else { return nil }
        var names = secretNames
        if !exact.isTrusted(peer) { names += trustedNames }
        names = names.filter { head.headerFields.contains($0) }
        if names.isEmpty { return nil }
        var head = head
        for name in names { head.headerFields[name] = nil }
        return head
    }

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

    /// Whether a name is one of Weir's.
    func isOwn(_ name: HTTPField.Name) -> Bool { ownNames.contains(name) }

    /// Whether any of the headers has one of Weir's names.
    func hasOwn(_ headers: HTTPFields) -> Bool { ownNames.isEmpty || ownNames.contains { headers.contains($0) } }

    /// A header field; nil when its name is invalid, which the policy's checks rule out.
    func field(_ header: LimitHeader, _ value: String, _ request: PooledRequest) -> HTTPField? {
        // These values rarely change between requests; a kept field needs no second validation.
        let isOfPolicy =
            switch header {
            case .rateLimitPolicy, .limit: true
            case .rateLimit, .remaining, .reset, .retryAfter: false
            }
        if isOfPolicy, let kept = request.kept(header, of: self), kept.value == value { return kept }
        guard let name = fieldNames[header.rawValue] else { return nil }
        let field = HTTPField(name: name, value: value)
        if isOfPolicy { request.keep(field, for: header) }
        return field
    }

    /// Runs `body` in a span, if anybody collects spans.
    func traced<Value>(_ name: String, _ kind: SpanKind, _ body: () async throws -> Value) async rethrows -> Value {
        guard isTraced else { return try await body() }
        return try await withSpan(name, ofKind: kind) { _ in try await body() }
    }
}

/// A request's state, reused by the next request.
///
/// It is Sendable because it belongs to one request at a time, whose tasks use it in turn: first the handler's, then
/// the one that writes the body.
final class PooledRequest: @unchecked Sendable {
    let value: LimitedRequest
    /// The last fields written that most requests have in common, and the policy's version that they belong to.
    private var kept = [HTTPField?](repeating: nil, count: LimitHeader.allCases.count)
    private var generation = -1

    init(_ value: LimitedRequest) { self.value = value }

    /// The field that was kept for a header under a version of the policy.
    @inline(__always)
    func kept(_ header: LimitHeader, of view: MiddlewareView) -> HTTPField? {
        if generation != view.generation {
            generation = view.generation
            for index in kept.indices { kept[index] = nil }
        }
        return kept[header.rawValue]
    }

    func keep(_ field: HTTPField, for header: LimitHeader) { kept[header.rawValue] = field }
}
