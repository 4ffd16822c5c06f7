/// A route of an app.
public struct AppRoute: Sendable, Hashable, CustomStringConvertible {
    /// The method, such as `GET`.
    public var method: String
    /// The path as the router declares it, such as `/users/{id}`. `*` matches any segment, and `**` at the end any
    /// number of segments.
    public var template: String

    /// - Parameters:
    ///   - method: the method, such as `GET`.
    ///   - template: the path as the router declares it, such as `/users/{id}`.
    public init(_ method: String, _ template: String) {
        self.method = method
        self.template = template
    }

    /// The method and the template, such as `GET /users/{id}`.
    public var description: String { "\(method) \(template)" }
}
