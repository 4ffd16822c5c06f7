// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "benchmarks",
    platforms: [.macOS(.v26)],
    dependencies: [.package(name: "weir", path: "..")],
    targets: [
        .executableTarget(
            name: "Decisions",
            dependencies: [.product(name: "Weir", package: "weir"), .product(name: "WeirHTTP", package: "weir")],
            swiftSettings: [.swiftLanguageMode(.v6)]
        )
    ]
)
