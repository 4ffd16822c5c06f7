public import HTTPTypes

/// What a request must show to be limited, whatever its server's types are.
public protocol LimitableRequest {
    /// As sent, such as `GET`.
    var method: String { get }
    /// The request target as sent: a path with its query, or a whole URL.
    var target: String { get }
    /// The Host header or `:authority`.
    var host: String? { get }
    /// Calls `body` with every value of a header, in order. Names are compared without case.
    func forEachValue(of name: String, _ body: (String) -> Void)
}

extension LimitableRequest {
    /// A header's value when it is there exactly once: of two, nobody knows which one the app would believe.
    package func onlyValue(of name: String) -> String? {
        var count = 0
        var value: String?
        forEachValue(of: name) {
            count += 1
            value = $0
        }
        return count == 1 ? value : nil
    }

    package func has(_ name: String) -> Bool {
        var found = false
        forEachValue(of: name) { _ in found = true }
        return found
    }
}

/// A request of swift-http-types.
public struct HTTPTypesRequest: LimitableRequest {
    private let request: HTTPRequest

    public init(_ request: HTTPRequest) { self.request = request }

    public var method: String { request.method.rawValue }
    public var target: String { request.path ?? "/" }
    public var host: String? { request.authority }

    public func forEachValue(of name: String, _ body: (String) -> Void) {
        // Compared as text: to make a field name of each takes an allocation.
        for field in request.headerFields where field.name.rawName.isEqualIgnoringCase(name) { body(field.value) }
    }
}

extension String {
    /// Compares ASCII text without regard to case.
    @inlinable
    package func isEqualIgnoringCase(_ other: String) -> Bool {
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

    /// Whether a route's template may be a router's that doesn't regard case: that keeps all in lower case but the names of
    /// parameters and segments with a `*`.
    package var mayBeCaseless: Bool {
        split(separator: "/").allSatisfy { segment in
            if segment.contains("*") { return true }
            var isName = false
            return segment.utf8.allSatisfy { byte in
                if byte == UInt8(ascii: "{") { isName = true }
                if byte == UInt8(ascii: "}") { isName = false }
                return isName || !(65...90).contains(byte)
            }
        }
    }

    /// In lower case as far as a router that doesn't regard case may go: all letters, of a path that isn't ASCII.
    var caseless: String { utf8.allSatisfy { $0 < 128 } ? asciiLowercased : lowercased() }

    /// With its ASCII letters in lower case, and everything else in the same places.
    var asciiLowercased: String {
        utf8.contains { (65...90).contains($0) } ? String(decoding: utf8.map(\.asciiLowercased), as: UTF8.self) : self
    }
}

extension UInt8 {
    /// The byte, or of an upper-case ASCII letter the lower-case one.
    @inlinable
    package var asciiLowercased: UInt8 { (65...90).contains(self) ? self | 0x20 : self }
}

/// The route that an app's own router found for a request.
public struct MatchedRoute: Sendable, Hashable {
    /// As in a policy, such as `/users/{id}`. A rule whose path fits it applies, however the request spelled its path; and it
    /// is the key `route` of limits that name no path.
    public var template: String?
    /// The path that the router took from the request, if that isn't as the policy reads it.
    public var path: String?

    public init(template: String?, path: String? = nil) {
        self.template = template
        self.path = path
    }
}

/// A client that the app itself has identified, such as a user who logged in. It goes before all sources of the policy.
public struct AppClient: Sendable, Hashable {
    /// What tells the client from others, 1 to 4096 bytes; else the policy's sources are asked. Never sent anywhere.
    public var name: String
    /// Nil for what the policy says.
    public var tier: String?

    public init(_ name: String, tier: String? = nil) {
        self.name = name
        self.tier = tier
    }
}
