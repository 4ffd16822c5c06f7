/// Which pages of other origins may read Weir's own answers (Fetch, 3.3).
public struct CrossOriginSettings: Sendable, Hashable {
    /// The origins, such as `https://app.example.com`, in lower case.
    public var origins: [String] = []
    /// Whether the pages may send credentials, such as cookies, and read the answer all the same.
    public var credentials = false

    /// Creates settings.
    ///
    /// - Parameters:
    ///   - origins: the origins, such as `https://app.example.com`.
    ///   - credentials: whether the pages may send credentials and read the answer all the same.
    public init(origins: [String] = [], credentials: Bool = false) {
        self.origins = origins
        self.credentials = credentials
    }
}
