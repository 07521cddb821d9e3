variable "name" {
  description = "What every name begins with, e.g. atrium-production."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}[a-z0-9]$", var.name))
    error_message = "name: 4 to 32 small letters, digits and hyphens, a letter first."
  }
}

variable "tags" {
  description = "Tags of everything that takes tags."
  type        = map(string)
  default     = {}
}

variable "repositories" {
  description = "Repositories, named without the environment: an image is built once and promoted by its digest. Empty where another environment of the account has them."
  type        = set(string)
  default     = ["atrium-router", "atrium-orchestrator", "atrium-rag", "vllm-openai"]
  validation {
    condition     = alltrue([for name in var.repositories : can(regex("^[a-z0-9][a-z0-9/_-]*$", name))])
    error_message = "repositories: small letters, digits, hyphens, slashes."
  }
}

variable "kms_key_arn" {
  description = "The key of the images; null makes one."
  type        = string
  default     = null
}

variable "keep_images" {
  description = "Tagged images kept in a repository, the newest: how far back a roll-back reaches."
  type        = number
  default     = 50
  validation {
    condition     = var.keep_images >= 5
    error_message = "keep_images: at least five, or a running release loses its image."
  }
}

variable "reader_account_ids" {
  description = "Other accounts that may pull: their nodes, by their own roles. None may push, list or delete."
  type        = set(string)
  default     = []
  validation {
    condition     = alltrue([for id in var.reader_account_ids : can(regex("^[0-9]{12}$", id))])
    error_message = "reader_account_ids: twelve digits each."
  }
}
