import Weir
import Yams

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension Policy {
    /// The result of reading a policy: a policy, or the errors that prevent one, with warnings in either case.
    public struct Reading: Sendable {
        /// The policy; nil when there are errors.
        public var policy: Policy?
        /// The token settings; nil when the policy uses no tokens.
        public var token: TokenSettings?
        /// All errors and warnings.
        public var diagnostics: [PolicyDiagnostic]
        /// The line and column of each certificate in `tls`.
        package var certificatePlaces: [(line: Int, column: Int)] = []

        /// Returns the policy.
        ///
        /// - Throws: ``PolicyError`` with every error found, each with its line.
        public func get() throws(PolicyError) -> Policy {
            guard let policy else { throw PolicyError(diagnostics.filter { $0.severity == .error }) }
            return policy
        }
    }

    /// Reads a policy from a file.
    ///
    /// - Parameters:
    ///   - path: the YAML file's path. Files that it names are looked for beside it.
    ///   - environment: the variables for `${NAME}`.
    public static func read(contentsOf path: String, environment: [String: String]) -> Reading {
        let text: String
        do {
            let data = try Data(contentsOf: URL(fileURLWithPath: path))
            guard let decoded = String(validating: data, as: UTF8.self) else {
                return .failed(path, "the file is not UTF-8")
            }
            text = decoded
        } catch let error as CocoaError where error.code == .fileReadNoSuchFile {
            return .failed(path, "there is no such file; `weir init` writes one to begin with")
        } catch let error as CocoaError where error.code == .fileReadNoPermission {
            return .failed(path, "the file can't be read: Permission denied")
        } catch {
            return .failed(path, "the file can't be read: it is a folder, or damaged")
        }
        return read(text, file: path, environment: environment)
    }

    /// Reads a policy from text.
    ///
    /// - Parameters:
    ///   - text: the YAML.
    ///   - file: the name for messages. Files that the policy names are looked for beside it.
    ///   - environment: the variables for `${NAME}`.
    public static func read(_ text: String, file: String, environment: [String: String] = [:]) -> Reading {
        let document = PolicyDocument(file: file, environment: environment)
        let text = text.withoutByteOrderMark
        guard let root = document.compose(text) else {
            if !document.hasErrors {
                document.error("the file is empty; `weir init` writes one to begin with", at: nil)
            }
            return Reading(policy: nil, token: nil, diagnostics: document.diagnostics)
        }
        let reader = PolicyReader(document: document, environment: environment)
        let policy = reader.policy(root)
        if let policy, !document.hasErrors {
            PolicyLint(policy: policy, places: reader.places, document: document).run()
        }
        let diagnostics = document.diagnostics.sorted {
            ($0.severity == .error ? 0 : 1, $0.line, $0.column) < ($1.severity == .error ? 0 : 1, $1.line, $1.column)
        }
        return Reading(
            policy: document.hasErrors ? nil : policy, token: reader.token, diagnostics: diagnostics,
            certificatePlaces: reader.places.certificates.map { ($0?.line ?? 0, $0?.column ?? 0) })
    }
}

extension String {
    /// The text without the mark with which some editors begin a file.
    var withoutByteOrderMark: String {
        unicodeScalars.first == "\u{FEFF}" ? String(unicodeScalars.dropFirst()) : self
    }
}

extension Policy.Reading {
    static func failed(_ file: String, _ message: String) -> Policy.Reading {
        Policy.Reading(
            policy: nil, token: nil,
            diagnostics: [PolicyDiagnostic(severity: .error, file: file, message: message)])
    }
}
