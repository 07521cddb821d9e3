variable "environment" {
  description = "dev, production: what names end with, after atrium-."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,15}$", var.environment))
    error_message = "environment: 2 to 16 small letters, digits and hyphens."
  }
}

variable "overlay" {
  description = "The overlay of infrastructure/kubernetes that the account is filled into."
  type        = string
  validation {
    condition     = contains(["staging", "production"], var.overlay)
    error_message = "overlay: staging or production."
  }
}

variable "account_id" {
  description = "The AWS account: nothing is done in another. An account each: the manifests' names (roles, secrets, log groups) are an account's."
  type        = string
  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id: twelve digits."
  }
}

variable "region" {
  description = "The region."
  type        = string
  validation {
    condition     = can(regex("^[a-z]{2}-[a-z]+-[0-9]$", var.region))
    error_message = "region: like us-east-1."
  }
}

variable "azs" {
  description = "Three of the region's zones, best those that have the GPUs you want."
  type        = list(string)
  validation {
    condition     = alltrue([for az in var.azs : startswith(az, var.region)])
    error_message = "azs: zones of the region."
  }
}

variable "domain" {
  description = "The host clients use."
  type        = string
}

variable "zone_id" {
  description = "The public Route 53 zone of the domain."
  type        = string
}

variable "admin_principal_arns" {
  description = "IAM roles that administer the cluster."
  type        = set(string)
}

variable "api_access_cidrs" {
  description = "Networks from which kubectl reaches the API server: private ones (VPN, runner) with api_private, else public ones."
  type        = list(string)
}

variable "alarm_emails" {
  description = "Who is told of alarms."
  type        = set(string)
}

variable "model" {
  description = "The model's folder in the models bucket."
  type        = string
}

variable "github_repository" {
  description = "OWNER/NAME of the repository whose workflows build and deploy; null: none does."
  type        = string
  default     = null
}

variable "github_oidc_provider_arn" {
  description = "GitHub's OIDC provider, where the account has one already; null makes it."
  type        = string
  default     = null
}

variable "github_environments" {
  description = "The environments of GitHub that change this cluster."
  type        = set(string)
  default     = []
}

variable "registry_account_id" {
  description = "The account whose registry the images come from, where that is another: no repositories are made here, and that account names this one in image_reader_account_ids. null: this one."
  type        = string
  default     = null
  validation {
    condition     = var.registry_account_id == null || (can(regex("^[0-9]{12}$", var.registry_account_id)) && var.registry_account_id != var.account_id)
    error_message = "registry_account_id: the twelve digits of another account, or null."
  }
}

variable "image_reader_account_ids" {
  description = "Other accounts whose nodes read this account's images."
  type        = set(string)
  default     = []
}
