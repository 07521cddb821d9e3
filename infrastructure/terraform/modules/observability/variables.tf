variable "name" {
  description = "What the environment's resources are called after, as atrium-production."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name is 3 to 32 lower-case letters, digits and hyphens, and begins with a letter."
  }
}

variable "log_group_names" {
  description = "Log groups to make: where the services write by themselves (LOG_GROUP), and where Fluent Bit writes."
  type        = set(string)
  default     = ["multi-tenant-chatbot", "/atrium/containers"]

  validation {
    condition     = alltrue([for one in var.log_group_names : can(regex("^[A-Za-z0-9._/#-]{1,512}$", one))])
    error_message = "A log group's name is 1 to 512 letters, digits and ._/#-."
  }
}

variable "log_retention_days" {
  description = "How long log records are kept, in days."
  type        = number
  default     = 365

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days is one of those that CloudWatch Logs knows, as 30, 90, 365 or 731."
  }
}

variable "alarm_emails" {
  description = "Addresses that are told of every alarm. Each must confirm, by the letter that SNS sends it."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for one in var.alarm_emails : can(regex("^[^@[:space:]]+@[^@[:space:]]+$", one))])
    error_message = "alarm_emails are e-mail addresses."
  }
}

variable "kms_key_arn" {
  description = "Key of logs and notifications, whose policy lets CloudWatch Logs and CloudWatch's alarms use it; null: one of the module's own."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:", var.kms_key_arn))
    error_message = "kms_key_arn is the ARN of a KMS key."
  }
}

variable "metrics_namespace" {
  description = "CloudWatch namespace of the services' metrics. They know this one alone."
  type        = string
  default     = "MultiTenantChatbot"

  validation {
    condition     = can(regex("^[A-Za-z0-9._/#:-]{1,255}$", var.metrics_namespace)) && !startswith(var.metrics_namespace, "AWS/")
    error_message = "metrics_namespace is 1 to 255 letters, digits and ._/#:-, and not one of AWS' own."
  }
}

variable "dashboards" {
  description = "Whether to make the dashboards (the first three of an account are free)."
  type        = bool
  default     = true
}

variable "tags" {
  description = "Tags of every resource that takes tags."
  type        = map(string)
  default     = {}
}
