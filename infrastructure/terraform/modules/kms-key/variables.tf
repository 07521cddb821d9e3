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

variable "purpose" {
  description = "What the key is for, one word: part of its alias."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z-]{1,30}$", var.purpose))
    error_message = "purpose: small letters and hyphens."
  }
}

variable "log_group_names" {
  description = "Log groups that CloudWatch Logs may encrypt with it: a group outside this list cannot use the key."
  type        = list(string)
  default     = []
}
