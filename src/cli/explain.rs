pub fn run(_e: super::args::Explain) -> Result<(), super::CliError> {
    Ok(())
}
