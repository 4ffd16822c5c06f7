public import HTTPTypes

/// A request in the types of swift-http-types.
public struct HTTPTypesRequest: LimitableRequest {
    private let request: HTTPRequest

    public init(_ request: HTTPRequest) { self.request = request }

    public var method: String { request.method.rawValue }
    public var target: String { request.path ?? "/" }
    public var host: String? { request.authority }

    public func forEachValue(of name: String, _ body: (String) -> Void) {
        // Compare as text: making a field name of each would allocate.
        for field in request.headerFields where field.name.rawName.isEqualIgnoringCase(name) { body(field.value) }
    }
}
