provider "aws" {
  region              = var.region
  allowed_account_ids = [var.account_id]

  default_tags {
    tags = {
      app         = "atrium"
      environment = "production"
      managed-by  = "terraform"
    }
  }
}
