public import HTTPTypes

/// A request in the types of swift-http-types.
public struct HTTPTypesRequest: LimitableRequest {
    private let request: HTTPRequest

    /// Wraps a request.
    public init(_ request: HTTPRequest) { self.request = request }

    /// The method as sent.
    public var method: String { request.method.rawValue }
    /// The request target; `/` when the request has no path.
    public var target: String { request.path ?? "/" }
    /// The request's authority.
    public var host: String? { request.authority }

    /// Calls `body` with each value of a header, in order. Names are compared without regard to case.
    public func forEachValue(of name: String, _ body: (String) -> Void) {
        // Compare as text: making a field name of each would allocate.
        for field in request.headerFields where field.name.rawName.isEqualIgnoringCase(name) { body(field.value) }
    }
}
