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

variable "cluster_name" {
  description = "The cluster that nodes join."
  type        = string
}

variable "private_subnet_ids" {
  description = "Where nodes are."
  type        = list(string)
  validation {
    condition     = length(var.private_subnet_ids) >= 2
    error_message = "private_subnet_ids: in at least two zones."
  }
}

variable "node_security_group_id" {
  description = "The nodes' security group."
  type        = string
}

variable "instance_types" {
  description = "CPU nodes, x86-64, first what is wanted most."
  type        = list(string)
  default     = ["m7i.xlarge", "m6i.xlarge"]
  validation {
    condition     = length(var.instance_types) > 0 && alltrue([for type in var.instance_types : can(regex("^[a-z0-9-]+\\.[a-z0-9]+$", type))])
    error_message = "instance_types: at least one, like m7i.xlarge."
  }
}

variable "min_size" {
  description = "CPU nodes at least."
  type        = number
  validation {
    condition     = var.min_size >= 1
    error_message = "min_size: Karpenter and coredns need a node."
  }
}

variable "desired_size" {
  description = "CPU nodes. Nobody else changes it: what more is needed under load is Karpenter's, or yours."
  type        = number
}

variable "max_size" {
  description = "CPU nodes at most, an update's included."
  type        = number
  validation {
    condition     = var.min_size <= var.desired_size && var.desired_size <= var.max_size
    error_message = "max_size: min_size <= desired_size <= max_size."
  }
}

variable "disk_gb" {
  description = "A CPU node's disk: images and emptyDirs."
  type        = number
  default     = 80
  validation {
    condition     = var.disk_gb >= 40
    error_message = "disk_gb: the images need 40 GB."
  }
}

variable "oidc_provider_arn" {
  description = "The cluster's OIDC provider in IAM."
  type        = string
}

variable "oidc_issuer" {
  description = "Its issuer, without https://."
  type        = string
}

variable "karpenter_namespace" {
  description = "Where Karpenter runs, under the service account karpenter."
  type        = string
  default     = "kube-system"
}
