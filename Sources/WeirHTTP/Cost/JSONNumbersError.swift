/// The reason why the numbers of a line can't be read.
package struct JSONNumbersError: Error, CustomStringConvertible {
    /// A phrase for the user.
    package let message: String

    package var description: String { message }

    init(_ message: String) { self.message = message }
}
