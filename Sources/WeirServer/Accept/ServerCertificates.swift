import Foundation
import NIOSSL
import SwiftASN1
package import WeirHTTP
import X509

/// The certificates with which the server proves its names, read and checked.
package struct ServerCertificates: Sendable {
    private struct Entry: Sendable {
        let names: [String]
        let context: NIOSSLContext
        let expires: Date
        let begins: Date
        let files: CertificateFiles
    }

    private let entries: [Entry]

    /// A certificate and when it ends, for metrics.
    struct Expiry: Equatable, Sendable {
        /// The certificate's first name.
        let name: String
        /// In seconds since 1970.
        let time: Int
    }

    /// The time before a certificate's end at which warnings begin, in seconds.
    static let warningTime = 14 * 86_400.0

    /// Reads the files.
    ///
    /// - Throws: ``CertificateError`` for the first certificate that can't be used.
    package init(_ files: [CertificateFiles]) throws(CertificateError) {
        var entries: [Entry] = []
        for (index, files) in files.enumerated() { entries.append(try Self.read(files, index: index)) }
        self.entries = entries
    }

    private static func read(_ files: CertificateFiles, index: Int) throws(CertificateError) -> Entry {
        func failed(_ message: String, _ cause: (any Error)? = nil) -> CertificateError {
            CertificateError(index: index, message: message, cause: cause)
        }
        let chain: [NIOSSLCertificate]
        let leaf: Certificate
        guard let text = try? String(contentsOfFile: files.certificate, encoding: .utf8) else {
            throw failed("the certificate '\(files.certificate)' can't be read")
        }
        do {
            chain = try NIOSSLCertificate.fromPEMBytes(Array(text.utf8))
            guard let first = chain.first else { throw NIOSSLError.failedToLoadCertificate }
            leaf = try Certificate(derEncoded: first.toDERBytes())
        } catch {
            throw failed("'\(files.certificate)' has no certificate in PEM", error)
        }
        let key = try privateKey(files.key, failed)
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["h2", "http/1.1"]
        configuration.cipherSuiteValues = ciphers
        let context: NIOSSLContext
        do {
            context = try NIOSSLContext(configuration: configuration)
        } catch {
            throw failed("the key '\(files.key)' does not belong to the certificate '\(files.certificate)'", error)
        }
        return Entry(
            names: names(of: leaf), context: context, expires: leaf.notValidAfter, begins: leaf.notValidBefore,
            files: files)
    }

    private static func privateKey(
        _ path: String, _ failed: (String, (any Error)?) -> CertificateError
    ) throws(CertificateError) -> NIOSSLPrivateKey {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
            throw failed("the key '\(path)' can't be read", nil)
        }
        if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
            throw failed(
                "the key '\(path)' is encrypted; decrypt it with `openssl pkey -in \(path) -out decrypted.pem`", nil)
        }
        do {
            return try NIOSSLPrivateKey(bytes: Array(text.utf8), format: .pem)
        } catch {
            throw failed("'\(path)' has no private key in PEM", error)
        }
    }

    /// Those with forward secrecy and authenticated encryption, as RFC 9113 (9.2.2) wants them for HTTP/2. TLS 1.3 has
    /// no others.
    private static let ciphers: [NIOTLSCipher] = [
        .TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, .TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        .TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, .TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        .TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, .TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ]

    /// The DNS names of a certificate, in lower case (RFC 6125 deprecates the common name).
    private static func names(of certificate: Certificate) -> [String] {
        guard let alternatives = try? certificate.extensions.subjectAlternativeNames else { return [] }
        return alternatives.compactMap { name in
            if case .dnsName(let name) = name { name.lowercased() } else { nil }
        }
    }

    // MARK: Choose

    /// Whether the certificate depends on the server name that the client sends (RFC 6066, 3).
    var dependsOnServerName: Bool { entries.count > 1 }

    /// The context for a client that asks for a server: that of the certificate with its name, else of one with a
    /// matching wildcard, else of the first.
    func context(for serverName: String?) -> NIOSSLContext { entries[index(for: serverName)].context }

    func index(for serverName: String?) -> Int {
        guard let name = serverName?.lowercased() else { return 0 }
        if let index = entries.firstIndex(where: { $0.names.contains(name) }) { return index }
        guard let dot = name.firstIndex(of: ".") else { return 0 }
        let wildcard = "*" + name[dot...]
        return entries.firstIndex { $0.names.contains(wildcard) } ?? 0
    }

    // MARK: Expiry

    var expiries: [Expiry] {
        entries.map {
            Expiry(name: $0.names.first ?? $0.files.certificate, time: Int($0.expires.timeIntervalSince1970))
        }
    }

    /// A warning about a certificate's validity.
    struct Warning: Equatable {
        let index: Int
        let message: String
    }

    /// Warns of certificates that have expired, soon expire or are not valid yet.
    func warnings(at now: Date) -> [Warning] {
        entries.enumerated().compactMap { index, entry in
            let file = "the certificate '\(entry.files.certificate)'"
            if entry.expires < now {
                return Warning(index: index, message: "\(file) expired on \(Self.day(entry.expires))")
            }
            if entry.begins > now {
                return Warning(index: index, message: "\(file) is not valid before \(Self.day(entry.begins))")
            }
            guard entry.expires.timeIntervalSince(now) < Self.warningTime else { return nil }
            let days = Int(entry.expires.timeIntervalSince(now) / 86_400)
            return Warning(
                index: index,
                message: "\(file) expires on \(Self.day(entry.expires)), in \(days) day\(days == 1 ? "" : "s")")
        }
    }

    private static func day(_ date: Date) -> String {
        String(TimeText.text(of: Int64(date.timeIntervalSince1970) * 1_000_000).prefix(10))
    }
}

/// A certificate that can't be used.
package struct CertificateError: Error {
    /// Its place in the policy's list.
    let index: Int
    /// A sentence for the user, which names the file.
    let message: String
    let cause: (any Error)?
}
