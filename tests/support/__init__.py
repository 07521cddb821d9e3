"""What tests share: real servers, and stand-ins that are named so."""
