variable "name" {
  description = "What the environment's resources are called after, as atrium-production."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name is 3 to 32 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "prefix" {
  description = "First part of the entries' names. The manifests ask for atrium/router and so on (infrastructure/kubernetes/components/external-secrets); another one where two environments share an account."
  type        = string
  default     = "atrium"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,40}$", var.prefix))
    error_message = "prefix is lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "entries" {
  description = "One entry each: what a service reads, and nobody else."
  type        = set(string)
  default     = ["router", "orchestrator", "rag", "migrations"]

  validation {
    condition     = length(var.entries) > 0 && alltrue([for entry in var.entries : can(regex("^[a-z][a-z0-9-]*$", entry))])
    error_message = "entries are names of lower-case letters, digits and hyphens, at least one."
  }
}

variable "recovery_window_days" {
  description = "How long a deleted entry can be brought back, in days. 0 deletes at once, and lets the name be used again."
  type        = number
  default     = 30

  validation {
    condition     = var.recovery_window_days == 0 || (var.recovery_window_days >= 7 && var.recovery_window_days <= 30)
    error_message = "recovery_window_days is 0, or 7 to 30."
  }
}

variable "key_deletion_days" {
  description = "How long a KMS key whose deletion was asked for can be kept after all, in days. What it sealed is lost with it."
  type        = number
  default     = 30

  validation {
    condition     = var.key_deletion_days >= 7 && var.key_deletion_days <= 30
    error_message = "key_deletion_days is 7 to 30."
  }
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  default     = {}
}
