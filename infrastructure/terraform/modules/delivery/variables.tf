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

variable "repository" {
  description = "The repository on GitHub, OWNER/NAME, whose workflows may be the roles."
  type        = string
  validation {
    condition     = can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.repository))
    error_message = "repository: OWNER/NAME, without a wildcard."
  }
}

variable "oidc_provider_arn" {
  description = "GitHub's OIDC provider, where the account has one already (it can have but one); null makes it."
  type        = string
  default     = null
  validation {
    condition     = var.oidc_provider_arn == null || can(regex("^arn:aws:iam::[0-9]{12}:oidc-provider/token\\.actions\\.githubusercontent\\.com$", var.oidc_provider_arn))
    error_message = "oidc_provider_arn: the ARN of the provider token.actions.githubusercontent.com."
  }
}

variable "account_id" {
  description = "The account."
  type        = string
  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id: twelve digits."
  }
}

variable "region" {
  description = "The region of cluster and registry."
  type        = string
  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region: like us-east-1."
  }
}

variable "repository_urls" {
  description = "Repository of images to URL: those that are pushed to and read. None where another account has them: no role to push or read is made then."
  type        = map(string)
}

variable "push_environment" {
  description = "The environment of GitHub that images.yml pushes in: let its rules allow tags v* alone."
  type        = string
  default     = "registry"
  validation {
    condition     = can(regex("^[A-Za-z0-9_-]+$", var.push_environment))
    error_message = "push_environment: one name, no wildcard."
  }
}

variable "pull_environment" {
  description = "The environment of GitHub that deploy.yml looks for images and their signatures in."
  type        = string
  default     = "registry-read"
  validation {
    condition     = can(regex("^[A-Za-z0-9_-]+$", var.pull_environment))
    error_message = "pull_environment: one name, no wildcard."
  }
}

variable "deploy_environments" {
  description = "The environments of GitHub that deploy.yml changes this cluster in; a role each."
  type        = set(string)
  validation {
    condition     = alltrue([for one in var.deploy_environments : can(regex("^[A-Za-z0-9_-]{1,30}$", one))])
    error_message = "deploy_environments: names of at most 30 letters, digits, - and _, no wildcard."
  }
}

variable "cluster_name" {
  description = "The EKS cluster."
  type        = string
}

variable "kubernetes_group" {
  description = "The group of RBAC that the deploying roles are in: infrastructure/kubernetes/deployer says what it may."
  type        = string
  default     = "atrium-deployer"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]+$", var.kubernetes_group))
    error_message = "kubernetes_group: small letters, digits and hyphens. Kubernetes' own groups (system:masters) are not for this."
  }
}

variable "domain" {
  description = "The host clients use: deploy.yml asks it whether it answers."
  type        = string
}

variable "alarm_prefix" {
  description = "What the names of the alarms begin with that stop a release; null: NAME-, as modules/observability names them."
  type        = string
  default     = null
}
