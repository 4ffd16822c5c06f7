/// What is wrong with a value, without its place.
package struct ValueError: Error, CustomStringConvertible {
    package let description: String
    init(_ description: String) { self.description = description }
}
