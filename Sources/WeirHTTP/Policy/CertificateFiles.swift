/// The files of one TLS certificate.
package struct CertificateFiles: Sendable, Hashable {
    /// The path of the certificate with its chain, in PEM.
    package var certificate: String
    /// The path of its private key, in PEM, not encrypted.
    package var key: String

    package init(certificate: String, key: String) {
        self.certificate = certificate
        self.key = key
    }
}
