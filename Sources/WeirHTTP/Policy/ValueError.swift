/// The error for an invalid value in a policy. The reader adds the value's place.
package struct ValueError: Error, CustomStringConvertible {
    /// The message, for the user.
    package let description: String
    init(_ description: String) { self.description = description }
}
