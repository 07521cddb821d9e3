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

variable "kubernetes_version" {
  description = "Kubernetes' minor version, e.g. 1.35: one in EKS' standard support, or there is no cluster (upgrade_policy)."
  type        = string
  validation {
    condition     = can(regex("^1\\.(3[0-9]|[4-9][0-9])$", var.kubernetes_version))
    error_message = "kubernetes_version: 1.30 or newer (the pods' preStop.sleep), minor version only."
  }
}

variable "addon_versions" {
  description = "Add-on to version, e.g. {vpc-cni = \"v1.20.1-eksbuild.1\"}; one not named is AWS's default for the Kubernetes version."
  type        = map(string)
  default     = {}
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "vpc_cidr" {
  description = "Its addresses: nodes reach PostgreSQL and Valkey there."
  type        = string
  validation {
    condition     = can(cidrnetmask(var.vpc_cidr))
    error_message = "vpc_cidr: an IPv4 network."
  }
}

variable "service_cidr" {
  description = "Addresses of Services, outside the VPC and whatever it is peered with. infrastructure/kubernetes names the first one in its policies: another network, other policies."
  type        = string
  default     = "172.20.0.0/16"
  validation {
    condition     = can(cidrnetmask(var.service_cidr))
    error_message = "service_cidr: an IPv4 network."
  }
}

variable "control_plane_subnet_ids" {
  description = "Where the control plane puts its interfaces: at least two zones."
  type        = list(string)
  validation {
    condition     = length(var.control_plane_subnet_ids) >= 2
    error_message = "control_plane_subnet_ids: in at least two zones."
  }
}

variable "private_access_only" {
  description = "The API server has no public address: kubectl runs inside the VPC, or in private_access_cidrs."
  type        = bool
}

variable "public_access_cidrs" {
  description = "Who reaches the API server's public address."
  type        = list(string)
  default     = []
  validation {
    condition     = !contains(var.public_access_cidrs, "0.0.0.0/0") && alltrue([for cidr in var.public_access_cidrs : can(cidrnetmask(cidr))])
    error_message = "public_access_cidrs: IPv4 networks, and not the whole internet."
  }
  validation {
    condition     = var.private_access_only || length(var.public_access_cidrs) > 0
    error_message = "public_access_cidrs: name who may reach the public address, or set private_access_only."
  }
}

variable "private_access_cidrs" {
  description = "Networks beside the nodes (a VPN, a runner's subnet) that reach the API server's private address."
  type        = list(string)
  default     = []
  validation {
    condition     = !contains(var.private_access_cidrs, "0.0.0.0/0") && alltrue([for cidr in var.private_access_cidrs : can(cidrnetmask(cidr))])
    error_message = "private_access_cidrs: IPv4 networks, and not the whole internet."
  }
}

variable "admin_principal_arns" {
  description = "IAM roles (or users) that administer the cluster: who creates it is not one of them by itself."
  type        = set(string)
  validation {
    condition     = length(var.admin_principal_arns) > 0 && alltrue([for arn in var.admin_principal_arns : can(regex("^arn:aws:iam::[0-9]{12}:(role|user)/", arn))])
    error_message = "admin_principal_arns: at least one ARN of a role or user: nobody else gets in."
  }
}

variable "log_retention_days" {
  description = "Days that the control plane's logs, the audit log among them, are kept."
  type        = number
  default     = 365
  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653], var.log_retention_days)
    error_message = "log_retention_days: a number that CloudWatch Logs knows, e.g. 30, 90, 365."
  }
}
