/// The files of one TLS certificate.
public struct CertificateFiles: Sendable, Hashable {
    /// The path of the certificate with its chain, in PEM.
    public var certificate: String
    /// The path of its private key, in PEM, not encrypted.
    public var key: String

    public init(certificate: String, key: String) {
        self.certificate = certificate
        self.key = key
    }
}
