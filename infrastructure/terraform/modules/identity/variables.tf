variable "name" {
  description = "What the environment's resources are called after, as atrium-production."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name is 3 to 32 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "role_prefix" {
  description = "First part of the roles' names. The manifests name atrium-router and so on (annotations of the service accounts); another one where two environments share an account."
  type        = string
  default     = "atrium"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,31}$", var.role_prefix))
    error_message = "role_prefix is 2 to 32 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "oidc_provider_arn" {
  description = "The cluster's OIDC provider in IAM."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:iam::[0-9]{12}:oidc-provider/", var.oidc_provider_arn))
    error_message = "oidc_provider_arn is the ARN of an OIDC provider."
  }
}

variable "oidc_issuer" {
  description = "The cluster's issuer, without https://."
  type        = string

  validation {
    condition     = !startswith(var.oidc_issuer, "https://") && length(var.oidc_issuer) > 0
    error_message = "oidc_issuer is without https://."
  }
}

variable "pod_identity_cluster" {
  description = "Name of the cluster whose EKS Pod Identity gives the roles (manifests: components/pod-identity), in place of the annotations. null: IRSA."
  type        = string
  default     = null
}

variable "namespace" {
  description = "Namespace of the services. The engine's is NAMESPACE-engine, the collector's NAMESPACE-telemetry."
  type        = string
  default     = "atrium"

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?$", var.namespace))
    error_message = "namespace is a name of Kubernetes, without * or ?."
  }
}

variable "region" {
  description = "Region of the buckets, keys and secrets."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region is as us-east-1."
  }
}

variable "account_id" {
  description = "The account."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id is twelve digits."
  }
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  default     = {}
}
