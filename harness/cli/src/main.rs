//! The command `unstale`.

fn main() -> std::process::ExitCode {
    unstale_cli::main()
}
