// A key's project is one of its tenant's: the list of projects is asked for with the tenant that the page has.
document.addEventListener("DOMContentLoaded", () => {
  const $ = window.django && django.jQuery;
  const project = document.getElementById("id_project");
  if (!$ || !project) return;
  const tenant = () => $("#id_tenant").val() || project.dataset.ofTenant || "";
  $.ajaxPrefilter((options) => {
    const told = `${options.url}${typeof options.data === "string" ? `&${options.data}` : ""}`;
    if (told.includes("/autocomplete/") && told.includes("field_name=project")) {
      options.url += `${options.url.includes("?") ? "&" : "?"}of_tenant=${encodeURIComponent(tenant())}`;
    }
  });
  $("#id_tenant").on("change", () => $(project).val(null).trigger("change"));
});
