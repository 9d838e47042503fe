{#- Names without the database: the same compiled SQL stands in memory and in flows.duckdb. -#}

{% macro ref() %}
  {%- set relation = builtins.ref(*varargs, **kwargs) -%}
  {{ return(relation.include(database=false)) }}
{% endmacro %}

{% macro source(source_name, table_name) %}
  {%- set relation = builtins.source(source_name, table_name) -%}
  {{ return(relation.include(database=false)) }}
{% endmacro %}

{#- A schema is named as it is written, not behind the target's. -#}
{% macro generate_schema_name(custom_schema_name, node) -%}
  {{ return(custom_schema_name or target.schema) }}
{%- endmacro %}
