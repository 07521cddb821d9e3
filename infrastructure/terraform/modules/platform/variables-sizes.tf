variable "nat_per_az" {
  description = "A NAT gateway in each zone, so that a zone's failure is that zone's alone."
  type        = bool
}

variable "api_private" {
  description = "The API server has no public address."
  type        = bool
}

variable "kubernetes_version" {
  description = "Kubernetes' minor version."
  type        = string
}

variable "nodes" {
  description = "CPU nodes: kinds to choose from, and how many."
  type = object({
    instance_types = list(string)
    min_size       = number
    desired_size   = number
    max_size       = number
  })
  validation {
    condition     = var.nodes.min_size <= var.nodes.desired_size && var.nodes.desired_size <= var.nodes.max_size
    error_message = "nodes: min_size, desired_size and max_size ascend."
  }
}

variable "postgres" {
  description = "PostgreSQL: version, size, a standby in another zone, days of point-in-time recovery."
  type = object({
    version               = string
    instance_class        = string
    storage_gb            = number
    multi_az              = bool
    backup_retention_days = number
  })
}

variable "valkey" {
  description = "Valkey: size, and replicas beside the primary."
  type = object({
    node_type = string
    replicas  = number
  })
}

variable "log_retention_days" {
  description = "How long logs are kept: the control plane's, the network's flows, the services'."
  type        = number
}

variable "protected" {
  description = "The database refuses to be deleted, buckets and vault to be destroyed with what is in them."
  type        = bool
  default     = true
}

variable "secret_recovery_days" {
  description = "How long a deleted secret can be brought back, in days; 0: not at all."
  type        = number
  default     = 30
}

variable "backups" {
  description = "Recovery points: days kept, who may delete one before (modules/backup: none, governance, compliance), a vault elsewhere that gets copies (null: none)."
  type = object({
    retention_days = number
    lock           = optional(string, "governance")
    copy_vault_arn = optional(string)
  })
}
