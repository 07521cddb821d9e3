variable "valkey_version" {
  description = "Major and minor version of Valkey."
  type        = string
  default     = "8.0"

  validation {
    condition     = can(regex("^([7-9]|[1-9][0-9])\\.[0-9]+$", var.valkey_version))
    error_message = "valkey_version is as 8.0."
  }
}

variable "valkey_node_type" {
  description = "Size of Valkey's nodes. Some kilobytes a tenant and a session within ten minutes: memory is rarely what is short."
  type        = string
  default     = "cache.m7g.large"

  validation {
    condition     = startswith(var.valkey_node_type, "cache.")
    error_message = "valkey_node_type begins with cache."
  }
}

variable "valkey_replicas" {
  description = "Nodes beside the primary. With multi_az at least one, in another zone."
  type        = number
  default     = 1

  validation {
    condition     = var.valkey_replicas >= (var.multi_az ? 1 : 0) && var.valkey_replicas <= 5
    error_message = "valkey_replicas is 0 to 5, and at least 1 with multi_az."
  }
}

variable "valkey_secret_name" {
  description = "Entry in Secrets Manager for Valkey's password, which the operator puts (module secrets, README.md)."
  type        = string
  default     = null

  validation {
    condition     = var.valkey_secret_name == null || can(regex("^[A-Za-z0-9/_+=.@-]+$", var.valkey_secret_name))
    error_message = "valkey_secret_name has letters, digits and /_+=.@- alone."
  }
}
